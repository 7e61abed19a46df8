//! The mode of a Unix socket, in the form of `chmod`: `"660"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Who may connect to a Unix socket: whoever may write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(u32);

impl SocketMode {
    /// Returns the bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Default for SocketMode {
    /// The server's user and group.
    fn default() -> Self {
        Self(0o660)
    }
}

impl Serialize for SocketMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:o}", self.0))
    }
}

impl<'de> Deserialize<'de> for SocketMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            other => {
                return Err(D::Error::custom(format!("must be text in quotes, not {}", other.type_str())));
            }
        };
        let is_octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
        let wrong = || D::Error::custom(format!("is `{text}`; it must be a mode like 660 or 0600"));
        // Without these the server itself could not replace it.
        mode.filter(|mode| mode & 0o600 == 0o600).map(Self).ok_or_else(wrong)
    }
}
