//! Heads as words: shown to be written down, read as they were typed.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use cim_keys::log::{NodeHash, SignedCheckpoint, parse_words, words};
use serde_json::{Value, json};

use crate::error::{CliError, Result};
use crate::ui::Ui;

/// How many words stand in a line.
const A_LINE: usize = 6;

/// Shows the words of a head.
pub(crate) fn show(head: &SignedCheckpoint, ui: Ui) -> Result {
    ui.heading(format_args!("The head of {} events, in words:", head.size()))?;
    let words = words(&head.checkpoint().root);
    for (line, row) in words.chunks(A_LINE).enumerate() {
        let mut text = String::new();
        for (column, word) in row.iter().enumerate() {
            // Writing into a text does not fail.
            let _ = write!(text, "{:3} {word:9}", line * A_LINE + column + 1);
        }
        ui.line(text.trim_end())?;
    }
    Ok(())
}

/// A head for programs.
pub(crate) fn object(head: Option<&SignedCheckpoint>) -> Value {
    head.map_or(Value::Null, |head| {
        json!({
            "origin": head.checkpoint().origin.as_str(),
            "size": head.size(),
            "root": head.checkpoint().root.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            "words": words(&head.checkpoint().root).join(" "),
            "checkpoint": head.to_string(),
        })
    })
}

/// Reads words that were given as they are, or in a file.
pub(crate) fn read(text: &str) -> Result<NodeHash> {
    let path = Path::new(text);
    let typed = if !text.contains(' ') && path.is_file() {
        let mut content = String::new();
        let file = std::fs::File::open(path).and_then(|file| file.take(4_096).read_to_string(&mut content));
        file.map_err(|error| CliError::usage(format!("cannot read {}", path.display())).because(&error))?;
        content
    } else {
        text.to_owned()
    };
    // As they are shown, words have their numbers in front.
    let words: Vec<&str> = typed.split_whitespace().filter(|word| word.parse::<u8>().is_err()).collect();
    parse_words(&words.join(" "))
        .map_err(|error| CliError::usage("the words of the head can't be parsed").because_of(&error))
}
