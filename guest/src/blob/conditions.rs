//! The conditions of a download (RFC 9110, section 13). An entry's entity tag never changes.

/// An iterator over a list of entity tags.
struct EntityTags<'a>(&'a str);

/// Returns whether `If-Match` is true for this tag: it is `*`, or lists the tag as a strong one.
pub(super) fn if_match(list: &str, tag: &str) -> bool {
    list.trim() == "*" || EntityTags(list).any(|(weak, listed)| !weak && listed == tag)
}

/// Returns whether `If-None-Match` lists this tag (weak comparison): then the response is a 304.
pub(super) fn matches_any(list: &str, tag: &str) -> bool {
    list.trim() == "*" || EntityTags(list).any(|(_, listed)| listed == tag)
}

/// Returns whether `If-Range` is true: it is the tag, or the exact date.
pub(super) fn if_range(value: &str, tag: &str, last_modified: &str) -> bool {
    let value = value.trim();
    value == tag || value == last_modified
}

/// Yields whether a tag is weak, and the tag with its quotes. Ends at malformed input.
impl<'a> Iterator for EntityTags<'a> {
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
