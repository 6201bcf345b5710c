//! Which face was called? Everything else is in the library.

#[cfg(target_env = "musl")]
mod allocator;

use std::ffi::OsString;
use std::io::Write;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::{env, io};

use serde_json::Value;
use springline::error::{Code, Error};
use springline::front::{cni, netavark};
use springline::kernel::leave;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator::new();

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
        serve_netavark(word);
    }
    end_at_panics(|defect| {
        complain(&format!("springline: {defect}"));
        1
    });
    springline::cli::main()
}

fn serve_netavark(word: &str) -> ! {
    let arguments: Vec<OsString> = env::args_os().skip(2).collect();
    end_at_panics(|defect| deliver(&netavark::failure(defect)));
    leave(deliver(&netavark::serve(word, &arguments)))
}

fn serve_cni(command: &str) -> ! {
    end_at_panics(|defect| deliver(&cni::failure(defect)));
    leave(deliver(&cni::serve(command, &|name| env::var_os(name))))
}

/// A panic is our defect, and still the runtime must get its one document, and a person a message rather than a core
/// dump: `tell` does that, and returns the status to end with. In place of unwinding, which would not undo anything
/// either, and whose tables were an eighth of the program: the record says what there is to undo.
fn end_at_panics(tell: fn(&Error) -> u8) {
    panic::set_hook(Box::new(move |panic| leave(tell(&defect(panic)))));
}

/// Prints what a runtime is told, and takes back what it cannot be told of; the status to end with.
fn deliver(reply: &cni::Reply) -> u8 {
    if let Some(document) = &reply.stdout
        && let Err(error) = print(document)
    {
        complain(&format!("springline: cannot write the result: {error}"));
        if let Some(key) = &reply.unless_printed
            && let Err(error) = cni::take_back(key)
        {
            complain(&format!("springline: cannot take {key} back: {error}"));
        }
        return 1;
    }
    reply.failed.into()
}

/// One write, so that it is all or nothing.
fn print(document: &Value) -> io::Result<()> {
    let mut text = serde_json::to_vec(document)?;
    text.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()
}

/// To stderr, which may be closed or full: `eprintln!` would panic.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn defect(panic: &PanicHookInfo<'_>) -> Error {
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    let what = panic.payload_as_str().unwrap_or("for an unknown reason");
    Error::new(Code::Internal, format!("{what}{place}")).context("springline panicked, which is a defect of it")
}
