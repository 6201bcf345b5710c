//! Which face was called? Everything else is in the library.

use std::any::Any;
use std::ffi::OsString;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::{env, io};

use springline::error::{Code, Error};
use springline::front::{cni, netavark};
use springline::wire::cni::Version;

fn main() -> ExitCode {
    // Runtimes call a CNI plugin without arguments; testing for that first keeps clap off their path.
    if env::args_os().len() <= 1 {
        return match env::var("CNI_COMMAND") {
            Ok(command) if !command.is_empty() => serve_cni(&command),
            _ => {
                complain(&cni::about());
                ExitCode::SUCCESS
            }
        };
    }
    // netavark calls its plugins with one of four words; they are not for clap either.
    let word = env::args_os().nth(1);
    if let Some(word) = word.as_deref().and_then(|word| netavark::WORDS.into_iter().find(|known| word == *known)) {
        return serve_netavark(word);
    }
    springline::cli::main()
}

fn serve_netavark(word: &str) -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(2).collect();
    let served = catch_unwind(AssertUnwindSafe(|| netavark::serve(word, &arguments)));
    deliver(&served.unwrap_or_else(|panic| netavark::failure(&defect(&*panic))))
}

fn serve_cni(command: &str) -> ExitCode {
    // A panic is our defect, and still the runtime must get its one document.
    let served = catch_unwind(AssertUnwindSafe(|| cni::serve(command, &|name| env::var_os(name))));
    deliver(&served.unwrap_or_else(|panic| {
        let document = cni::error_document(&defect(&*panic), Version::LATEST);
        cni::Reply { stdout: Some(document), failed: true, unless_printed: None }
    }))
}

/// Prints what a runtime is told, and takes back what it cannot be told of.
fn deliver(reply: &cni::Reply) -> ExitCode {
    if let Some(document) = &reply.stdout
        && let Err(error) = print(&format!("{document}\n"))
    {
        complain(&format!("springline: cannot write the result: {error}"));
        if let Some(key) = &reply.unless_printed
            && let Err(error) = cni::take_back(key)
        {
            complain(&format!("springline: cannot take {key} back: {error}"));
        }
        return ExitCode::FAILURE;
    }
    if reply.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One write, so that it is all or nothing.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// To stderr, which may be closed or full: `eprintln!` would panic.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn defect(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::new(Code::Internal, text.unwrap_or("for an unknown reason"))
        .context("springline panicked, which is a defect of it")
}
