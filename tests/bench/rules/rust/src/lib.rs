//! The same as `restore.js`.

wit_bindgen::generate!({
    inline: "package local:rules; world rules { export larder:rules/restore@0.1.0; }",
    path: "wit",
    world: "local:rules/rules",
    generate_all,
});

use exports::larder::rules::restore::{Caller, Entry, Guest, Hit};

struct Rules;

export!(Rules);

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

impl Guest for Rules {
    fn judge_hit(caller: Caller, entry: Entry) -> Hit {
        let is_release = value(&caller.claims, "workflow") == Some("release");
        if is_release && value(&entry.provenance, "ref_protected") != Some("true") {
            return Hit::Skip("not of a protected branch".to_owned());
        }
        Hit::Accept
    }
}
