//! The causes of errors: what a line of the log says of an error is made here.

use std::{error::Error, iter::successors};

/// The error and its causes, the outermost first.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// The texts of the error and its causes, the outermost first, with `: ` between them. A text that stands in one before it is
/// left out: many libraries repeat their causes.
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
