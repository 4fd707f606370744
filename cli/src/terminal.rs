//! What both programs do at a terminal: print results, log, end with the right code.

use std::process::ExitCode;

/// Prints a line of results. A reader that has seen enough (`| head`) ends the program in peace; a full disk is an error.
pub(crate) fn print_line(line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let Err(error) = writeln!(std::io::stdout().lock(), "{line}") else { return };
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    eprintln!("slacktide: cannot print the results: {error}");
    std::process::exit(2);
}

/// [`print_line`], written like `println!`, which would panic instead.
macro_rules! say {
    ($($text:tt)*) => { $crate::print_line(format_args!($($text)*)) };
}
pub(crate) use say;

/// From now on what a long-running verb has to say goes to standard error, a line an event; `SLACKTIDE_LOG=debug` says more.
pub(crate) fn log_to_stderr() {
    let level = std::env::var("SLACKTIDE_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(tracing::Level::INFO);
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_max_level(level).init();
}

/// Runs what a library does asynchronously, on this thread.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| anyhow::anyhow!("cannot start the runtime: {error}"))?.block_on(future))
}

/// Whether what was done is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Bad,
}

/// The exit code of what came of it; an error is told.
pub(crate) fn exit(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(1),
        Err(error) => {
            eprintln!("slacktide: {error:#}");
            ExitCode::from(2)
        }
    }
}
