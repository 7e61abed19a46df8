//! The XML of Put Block List.
//!
//! `<BlockList>` with any mix of `<Latest>`, `<Uncommitted>` and `<Committed>`. They are
//! equivalent: an upload has one set of staged blocks. White space, comments, CDATA, references and
//! a missing declaration are accepted.

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;

use super::put_block::MAX_ID_BYTES;

/// Most ids in a list (Azure's limit).
pub(super) const MAX_IDS: usize = 50_000;

/// Why a list is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListError {
    /// Not well-formed, or not a block list.
    NotAList,
    /// An id is empty or too long.
    BadId,
    /// More than [`MAX_IDS`].
    TooLong,
}

/// The parser's position in the document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before the root element.
    Prolog,
    /// In the root element.
    List,
    /// In an element with an id.
    Id,
    /// After the root element.
    Epilog,
}

/// The state of the parser.
struct ListParser {
    position: Position,
    ids: Vec<String>,
    id: String,
}

/// Parses a block list: returns the ids in order, with repetitions.
pub(super) fn parse(body: &[u8]) -> Result<Vec<String>, ListError> {
    let text = std::str::from_utf8(body).map_err(|_| ListError::NotAList)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let mut parser = ListParser { position: Position::Prolog, ids: Vec::new(), id: String::new() };
    loop {
        let event = reader.read_event().map_err(|_| ListError::NotAList)?;
        if matches!(event, Event::Eof) {
            break;
        }
        parser.handle(&event)?;
    }
    if parser.position == Position::Epilog { Ok(parser.ids) } else { Err(ListError::NotAList) }
}

impl ListParser {
    fn handle(&mut self, event: &Event<'_>) -> Result<(), ListError> {
        match event {
            Event::Start(element) => self.open(element.local_name().as_ref()),
            Event::Empty(element) => {
                self.open(element.local_name().as_ref())?;
                self.close()
            }
            Event::End(_) => self.close(),
            Event::Text(text) => self.text(text),
            Event::CData(text) => self.text(text),
            Event::GeneralRef(reference) => self.reference(reference),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Eof => Ok(()),
            // May define entities, which no client needs.
            Event::DocType(_) => Err(ListError::NotAList),
        }
    }

    fn open(&mut self, name: &str) -> Result<(), ListError> {
        self.position = match (self.position, name) {
            (Position::Prolog, "BlockList") => Position::List,
            (Position::List, "Latest" | "Uncommitted" | "Committed") => Position::Id,
            (_, _) => return Err(ListError::NotAList),
        };
        Ok(())
    }

    /// The XML reader checks that the names match.
    fn close(&mut self) -> Result<(), ListError> {
        self.position = match self.position {
            Position::Id => {
                self.push_id()?;
                Position::List
            }
            Position::List => Position::Epilog,
            Position::Prolog | Position::Epilog => return Err(ListError::NotAList),
        };
        Ok(())
    }

    fn push_id(&mut self) -> Result<(), ListError> {
        let id = self.id.trim();
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(ListError::BadId);
        }
        if self.ids.len() == MAX_IDS {
            return Err(ListError::TooLong);
        }
        self.ids.push(id.to_owned());
        self.id.clear();
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), ListError> {
        if self.position == Position::Id {
            self.id.push_str(text);
            Ok(())
        } else if text.trim().is_empty() {
            Ok(())
        } else {
            Err(ListError::NotAList)
        }
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), ListError> {
        let character = reference.resolve_char_ref().map_err(|_| ListError::NotAList)?;
        match (character, resolve_xml_entity(reference)) {
            (Some(character), _) => self.text(character.encode_utf8(&mut [0; 4])),
            (None, Some(text)) => self.text(text),
            (None, None) => Err(ListError::NotAList),
        }
    }
}

#[cfg(test)]
mod tests;
