//! The XML of Put Block List.
//!
//! `<BlockList>` with any mix of `<Latest>`, `<Uncommitted>` and `<Committed>`, which all mean the same here: there is one
//! set of staged blocks per upload. White space, comments, CDATA, references and a missing declaration are fine.

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;

use super::put_block::MAX_ID_BYTES;

/// Most ids in a list (Azure's limit).
pub(super) const MAX_IDS: usize = 50_000;

/// Why there is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListError {
    /// Not well-formed, or not a block list.
    NotAList,
    /// An id is empty or too long.
    BadId,
    /// More than [`MAX_IDS`].
    TooLong,
}

/// Where in the document the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the root element.
    Prolog,
    /// In the root element.
    List,
    /// In an element that holds an id.
    Id,
    /// After the root element.
    Epilog,
}

/// The list as read so far.
struct Parser {
    place: Place,
    ids: Vec<String>,
    id: String,
}

/// Reads a block list: the ids in their order, repeats included.
pub(super) fn parse(body: &[u8]) -> Result<Vec<String>, ListError> {
    let text = std::str::from_utf8(body).map_err(|_| ListError::NotAList)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let mut parser = Parser { place: Place::Prolog, ids: Vec::new(), id: String::new() };
    loop {
        let event = reader.read_event().map_err(|_| ListError::NotAList)?;
        if matches!(event, Event::Eof) {
            break;
        }
        parser.take(&event)?;
    }
    if parser.place == Place::Epilog { Ok(parser.ids) } else { Err(ListError::NotAList) }
}

impl Parser {
    fn take(&mut self, event: &Event<'_>) -> Result<(), ListError> {
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
            // May define entities, which nobody needs here.
            Event::DocType(_) => Err(ListError::NotAList),
        }
    }

    fn open(&mut self, name: &str) -> Result<(), ListError> {
        self.place = match (self.place, name) {
            (Place::Prolog, "BlockList") => Place::List,
            (Place::List, "Latest" | "Uncommitted" | "Committed") => Place::Id,
            (_, _) => return Err(ListError::NotAList),
        };
        Ok(())
    }

    /// The reader has checked that the names match.
    fn close(&mut self) -> Result<(), ListError> {
        self.place = match self.place {
            Place::Id => {
                self.push_id()?;
                Place::List
            }
            Place::List => Place::Epilog,
            Place::Prolog | Place::Epilog => return Err(ListError::NotAList),
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
        if self.place == Place::Id {
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
