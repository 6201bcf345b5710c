//! A rootfs whose files are root's on disk, seen by an idmapped mount: there the host's root is nobody, and a file that
//! it makes fails with EOVERFLOW. `mount_setattr(2)` by Python, for util-linux learnt it only with version 2.39.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use crate::common::traffic::can_make_traffic;
use crate::common::{Lab, tool};
use crate::support::{Kind, dual_interface};

/// Mounts argv[1] on argv[2] so that ids from 0 on are shown from 100000 on; says so; ends with stdin.
const MOUNT: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0: print("no", os.strerror(ctypes.get_errno()), flush=True); sys.exit()
    return result
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    libc.unshare(0x10000000); os.write(ready[1], b"x"); os.read(go[0], 1); os._exit(0)
os.read(ready[0], 1)
for kind in "uid", "gid": open(f"/proc/{child}/{kind}_map", "w").write("0 100000 65536")
user = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
tree = call(428, -100, sys.argv[1].encode(), 1 | 0x80000)
attributes = struct.pack("=QQQQ", 0x100000, 0, 0, user)
call(442, tree, b"", 0x1000, attributes, len(attributes))
call(429, tree, b"", -100, sys.argv[2].encode(), 4)
os.write(go[1], b"x")
print("ready", flush=True); sys.stdin.read()
"#;

#[test]
fn files_are_written_and_belong_to_the_containers_root() {
    if !can_make_traffic() {
        eprintln!("not run: idmapped mounts: no python3: install the package python3-minimal");
        return;
    }
    let lab = Lab::new();
    let root = Kind::named("debian").make();
    let mounted = lab.dir().join("mounted");
    fs::create_dir(&mounted).expect("make a mount point");
    let config = lab.dir().join("guest.json");
    let description = serde_json::json!({"interfaces": [dual_interface("eth0")]});
    fs::write(&config, description.to_string()).expect("write the description");
    let mut command = lab.host().command(&tool("unshare"));
    command.args(["-m", "--propagation", "private", "python3", "-c", MOUNT]).arg(root.path()).arg(&mounted);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start python3");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says whether it is ready");
    if line != "ready\n" {
        child.wait().expect("it ends");
        eprintln!("not run: idmapped mounts: {line}");
        return;
    }
    let nsenter = |program: &Path| {
        let mut command = lab.host().command(&tool("nsenter"));
        command.arg(format!("--mount=/proc/{}/ns/mnt", child.id())).arg(program);
        command
    };
    // What the host's root makes there itself is refused.
    let touched = nsenter(&tool("touch")).arg(mounted.join("etc/new")).output().expect("run touch");
    assert!(!touched.status.success());
    let mut command = nsenter(Path::new(crate::common::cni::springline_binary()));
    command.args(["distconfig", "--rootfs"]).arg(&mounted).arg("--config").arg(&config);
    let output = command.output().expect("run springline");
    drop(child.stdin.take());
    child.wait().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata = fs::metadata(root.at("etc/network/interfaces.d/springline")).expect("it is there");
    assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "on disk it is root's");
}
