//! The conditions of a download (RFC 9110, section 13): on the entity tag, which never changes for an entry.

/// A position in a list of entity tags.
struct Tags<'a>(&'a str);

/// Returns whether an `If-Match` holds for this tag: `*`, or the tag is on the list and the client's is a strong one.
pub(super) fn if_match(list: &str, tag: &str) -> bool {
    list.trim() == "*" || Tags(list).any(|(weak, listed)| !weak && listed == tag)
}

/// Returns whether an `If-None-Match` names this tag, weakly compared: then nothing new is to be sent.
pub(super) fn names(list: &str, tag: &str) -> bool {
    list.trim() == "*" || Tags(list).any(|(_, listed)| listed == tag)
}

/// Returns whether a range may be served under this `If-Range`: it is the tag, or the exact date.
pub(super) fn if_range(value: &str, tag: &str, last_modified: &str) -> bool {
    let value = value.trim();
    value == tag || value == last_modified
}

/// Yields whether a tag is weak, and the tag with its quotes. Ends where the list is malformed.
impl<'a> Iterator for Tags<'a> {
    type Item = (bool, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_start_matches([' ', '\t', ',']);
        let (weak, rest) = rest.strip_prefix("W/").map_or((false, rest), |rest| (true, rest));
        let opaque = rest.strip_prefix('"')?;
        let length = opaque.find('"')? + 2;
        let (tag, rest) = rest.split_at(length);
        self.0 = rest;
        Some((weak, tag))
    }
}

#[cfg(test)]
mod tests;
