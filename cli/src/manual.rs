//! `slacktide completions` and `slacktide man`: what a shell and a manual need of the command line.

use crate::{Cli, Outcome};
use anyhow::{Context, Result};
use clap::CommandFactory as _;
use slacktide_reports::files::write_aside;
use std::path::{Path, PathBuf};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slacktide completions bash > ~/.local/share/bash-completion/completions/slacktide\n  slacktide completions zsh > ~/.zfunc/_slacktide       # with fpath+=~/.zfunc before compinit\n  slacktide completions fish > ~/.config/fish/completions/slacktide.fish"
)]
pub(crate) struct CompletionsArgs {
    /// Of which shell
    shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slacktide man --out ~/.local/share/man/man1 && man slacktide-simulate\n  slacktide man --out man && man ./man/slacktide.1"
)]
pub(crate) struct ManArgs {
    /// Folder for slacktide.1 and a page for every verb; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// `slacktide completions`: the script, on standard output.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "slacktide", &mut script);
    crate::say!("{}", String::from_utf8_lossy(&script).trim_end());
    Ok(Outcome::Good)
}

/// `slacktide man`: a page a verb.
pub(crate) fn man(args: &ManArgs) -> Result<Outcome> {
    let out = &args.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let pages = pages(&root, out)?;
    crate::say!("wrote {pages} pages to {}; read the first: man {}", out.display(), out.join("slacktide.1").display());
    Ok(Outcome::Good)
}

/// Writes the page of a command and those of its verbs; how many.
fn pages(command: &clap::Command, out: &Path) -> Result<u32> {
    // `slacktide-journal-show`, as the built command calls itself.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).with_context(|| format!("the page of {name}"))?;
    write_aside(&out.join(format!("{name}.1")), &page)?;
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
    verbs.map(|verb| pages(verb, out)).try_fold(1, |written, more| Ok(written + more?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verbs that have none below them.
    fn leaves<'a>(command: &'a clap::Command, found: &mut Vec<&'a clap::Command>) {
        let mut verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help").peekable();
        if verbs.peek().is_none() {
            found.push(command);
        }
        verbs.for_each(|verb| leaves(verb, found));
    }

    /// The words of a line as a shell reads them, up to what is not ours: a comment, a pipe, another command.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        // What stands far to the right is a remark.
        let line = line.trim().split("     ").next().unwrap_or_default();
        for c in line.chars() {
            match (c, quote) {
                ('\'' | '"', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                ('#' | '|' | '<' | '>' | '&' | ';', None) => break,
                (' ', None) => words.push(String::new()),
                (c, _) => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn every_verb_teaches_by_examples_that_are_right() {
        Cli::command().debug_assert();
        let mut root = Cli::command();
        root.build();
        let mut found = Vec::new();
        leaves(&root, &mut found);
        assert!(found.len() > 40, "{}", found.len());
        let everything = found.iter().copied().chain([&root]).map(|verb| {
            let name = verb.get_display_name().unwrap_or("slacktide").to_owned();
            (name, verb.get_after_help().map(ToString::to_string).unwrap_or_default())
        });
        for (name, help) in everything {
            let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  slacktide ")).collect();
            assert!(!examples.is_empty(), "{name} has no example");
            for example in examples {
                let parsed = <Cli as clap::Parser>::try_parse_from(words(example));
                assert!(parsed.is_ok(), "{name}: {example}\n{}", parsed.err().unwrap());
            }
        }
    }
}
