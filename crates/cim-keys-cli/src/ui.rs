//! The one place that prints. Text for people or JSON for programs; colours and progress only where a person looks.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use cim_keys::text::visible;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::error::{CliError, Label, Result};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Standard output and standard error of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    format: Format,
    assume_yes: bool,
    verbose: bool,
    /// Whether results go to standard error: standard output is taken by what was asked for.
    aside: bool,
}

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();

impl Ui {
    pub(crate) const fn new(format: Format, assume_yes: bool) -> Self {
        Self { format, assume_yes, verbose: false, aside: false }
    }

    /// The same, saying more.
    pub(crate) const fn verbose(self, verbose: bool) -> Self {
        Self { verbose, ..self }
    }

    /// Whether more is to be said: identifiers and positions.
    pub(crate) const fn is_verbose(self) -> bool {
        self.verbose
    }

    /// The same on standard error, where standard output holds what was asked for.
    pub(crate) const fn aside(self) -> Self {
        Self { aside: true, ..self }
    }

    /// Whether programs read the output.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// One line of text on standard output; nothing in JSON mode. The caller passes untrusted parts through
    /// [`visible`].
    pub(crate) fn line(self, line: impl Display) -> Result {
        match (self.is_json(), self.aside) {
            (true, _) => Ok(()),
            (false, true) => {
                self.note(line);
                Ok(())
            }
            (false, false) => Ok(writeln!(anstream::stdout().lock(), "{line}")?),
        }
    }

    /// A heading of the text form.
    pub(crate) fn heading(self, line: impl Display) -> Result {
        self.line(format_args!("{BOLD}{line}{BOLD:#}"))
    }

    /// Something good that was done, in the text form.
    pub(crate) fn done(self, line: impl Display) -> Result {
        self.line(format_args!("{GREEN}{line}{GREEN:#}"))
    }

    /// A line in a style, in the text form.
    pub(crate) fn painted(self, style: Style, line: impl Display) -> Result {
        self.line(format_args!("{style}{line}{style:#}"))
    }

    /// One JSON object on a line of standard output; nothing in text mode.
    pub(crate) fn object(self, value: &impl Serialize) -> Result {
        if !self.is_json() {
            return Ok(());
        }
        let text = serde_json::to_string(value)
            .map_err(|error| CliError::failed("cannot write the result as JSON").because(&error))?;
        if self.aside {
            self.note(text);
            return Ok(());
        }
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }

    /// Bytes on standard output, as they are.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result {
        Ok(io::stdout().lock().write_all(bytes)?)
    }

    /// Pushes what was written out, for streams.
    pub(crate) fn flush(self) -> Result {
        Ok(io::stdout().lock().flush()?)
    }

    /// A remark on standard error, in both forms. Best effort: a closed standard error stops nothing.
    pub(crate) fn note(self, text: impl Display) {
        let _ = self.try_note(text);
    }

    /// As [`Ui::note`], for what must not go unseen.
    ///
    /// # Errors
    /// When standard error is closed.
    pub(crate) fn try_note(self, text: impl Display) -> std::io::Result<()> {
        writeln!(anstream::stderr().lock(), "{text}")
    }

    /// A warning on standard error.
    pub(crate) fn warn(self, text: impl Display) {
        self.note(format_args!("{YELLOW}warning:{YELLOW:#} {text}"));
    }

    /// An error on standard error, in the form that was asked for.
    pub(crate) fn error(self, error: &CliError) {
        if self.is_json() {
            self.note(error.to_json());
            return;
        }
        for (label, text) in error.lines() {
            match label {
                Label::Error => self.note(format_args!("{RED}error:{RED:#} {text}")),
                Label::Cause => self.note(format_args!("  {text}")),
                Label::Hint => self.note(format_args!("{CYAN}hint:{CYAN:#} {text}")),
            }
        }
    }

    /// Whether somebody can be asked.
    pub(crate) fn can_ask(self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks for a line of text at the terminal; the caller has made sure that there is one.
    pub(crate) fn prompt(self, question: &str) -> Result<String> {
        {
            let mut err = anstream::stderr().lock();
            write!(err, "{} ", visible(question))?;
            err.flush()?;
        }
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer)
    }

    /// Asks a question whose safe answer is no. `--yes` answers it; without a terminal it is an error that says so.
    pub(crate) fn confirm(self, question: &str) -> Result<bool> {
        if self.assume_yes {
            return Ok(true);
        }
        if !self.can_ask() {
            return Err(CliError::refused("this has to be confirmed, and there is no terminal to ask at")
                .detail(question)
                .hint("run it again with --yes, if that is what you want"));
        }
        self.ask(question)
    }

    /// Asks at the terminal, whatever `--yes` says.
    pub(crate) fn ask(self, question: &str) -> Result<bool> {
        {
            let mut err = anstream::stderr().lock();
            write!(err, "{} [y/N] ", visible(question))?;
            err.flush()?;
        }
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// A progress bar on standard error; hidden when that is no terminal.
    pub(crate) fn progress(self, what: &'static str, length: u64) -> ProgressBar {
        if self.is_json() || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(8));
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar
    }

    /// A spinner on standard error, for what has no length; hidden when that is no terminal.
    pub(crate) fn spinner(self, what: impl Into<String>) -> ProgressBar {
        if self.is_json() || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        bar.set_message(what.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// Rows under headings, aligned; nothing in JSON mode. Every cell is made harmless here.
    pub(crate) fn table(self, headings: &[&str], rows: &[Vec<String>]) -> Result {
        if self.is_json() || rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| visible(cell).into_owned()).collect()).collect();
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
                cells.chain([headings[column].width()]).max().unwrap_or(0)
            })
            .collect();
        self.heading(aligned(&widths, headings.iter().copied()))?;
        for row in &rows {
            self.line(aligned(&widths, row.iter().map(String::as_str)))?;
        }
        Ok(())
    }

    /// Names and values of one thing, aligned; nothing in JSON mode. Every value is made harmless here.
    pub(crate) fn facts(self, facts: &[(&str, String)]) -> Result {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            let mut lines = value.lines();
            let first = visible(lines.next().unwrap_or("")).into_owned();
            self.line(format_args!("{name:width$}  {first}"))?;
            for more in lines {
                self.line(format_args!("{:width$}  {}", "", visible(more)))?;
            }
        }
        Ok(())
    }
}

/// A writer of lines in which nothing acts on the terminal: log lines repeat what servers say.
#[derive(Debug)]
pub(crate) struct Harmless<W>(pub(crate) W);

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in String::from_utf8_lossy(bytes).split_inclusive('\n') {
            let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
            self.0.write_all(visible(text).as_bytes())?;
            self.0.write_all(end.as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn aligned<'c>(widths: &[usize], cells: impl Iterator<Item = &'c str>) -> String {
    let mut line = String::new();
    for (cell, width) in cells.zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
    }
    line.truncate(line.trim_end().len());
    line
}
