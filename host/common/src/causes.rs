//! Errors with their causes, for the log.

use std::{error::Error, iter::successors};

/// Returns the error and its causes, the outermost first.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// Returns the texts of the error and its causes, the outermost first, separated by `: `. A text
/// that an earlier one contains is left out, because many libraries repeat their causes.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).fold(String::new(), |mut line, error| {
        let text = error.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        line
    })
}

#[cfg(test)]
mod tests;
