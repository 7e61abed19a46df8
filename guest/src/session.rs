//! A session: what one request with a token may restore and save.
//!
//! For policies with a client protocol of their own. The same entries, checks and rules as with the cache
//! service: what is saved in one way is found in the other.

use crate::Policy;
use crate::blob;
use crate::cleanup;
use crate::ports::{Claims, Entry, Host, OutcomeKind, Request, Response, Upload};
use crate::service::{self, Caller, Code, Error, Grant, Hit, Message, ValidRequest};
use crate::twirp;

/// What a request is about to do; changes the text of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It restores.
    Restore,
    /// It saves.
    Save,
}

/// What one request with a token may restore and save.
pub struct Session<'a, H: Host> {
    policy: &'a dyn Policy,
    host: &'a H,
    request: &'a Request<H::IncomingRequest>,
    claims: Claims,
}

impl<'a, H: Host> Session<'a, H> {
    /// Verifies the request's token (`Authorization: Bearer`), and asks the policy what it permits.
    ///
    /// # Errors
    /// `unauthenticated` if the token is rejected, `permission_denied` if its repository may not use this
    /// server, `unavailable` if the issuer's keys cannot be fetched.
    pub async fn open(
        policy: &'a dyn Policy,
        host: &'a H,
        request: &'a Request<H::IncomingRequest>,
        access: Access,
    ) -> Result<Self, Error> {
        let claims = service::verify(policy, host, request, access == Access::Save).await?;
        Ok(Self { policy, host, request, claims })
    }

    /// What the token permits.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Finds the best match of a key, or else of the restore keys, as `@actions/cache` does. `version` is
    /// part of the name: 1 to 512 bytes. Records the use. `None` is a miss.
    ///
    /// # Errors
    /// `invalid_argument` for a key or version outside of its limits, `permission_denied` if the token has no
    /// readable scope, `unavailable` if index or storage fail.
    pub async fn find(
        &self,
        key: &str,
        version: &str,
        restore_keys: &[String],
    ) -> Result<Option<Entry>, Error> {
        self.look_up(key, version, restore_keys, false).await
    }

    /// Finds the entry with this very key, in the first scope of the policy that has it.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn get(&self, key: &str, version: &str) -> Result<Option<Entry>, Error> {
        self.look_up(key, version, &[], true).await
    }

    async fn look_up(
        &self,
        key: &str,
        version: &str,
        restore_keys: &[String],
        is_exact: bool,
    ) -> Result<Option<Entry>, Error> {
        let (key, version) = (key.to_owned(), version.to_owned());
        let message = Message { key, version, restore_keys: restore_keys.to_vec(), size_bytes: 0 };
        let message = ValidRequest { is_exact, ..message.validate()? };
        self.request.record(|outcome| outcome.set_key(&message.key, &message.version));
        let hit = service::lookup(&self.caller(), &message, &self.request.origin).await?;
        Ok(hit.map(|Hit { entry, .. }| entry))
    }

    /// Answers with an entry's content, or a range of it, as the request's `range`, `if-match` and
    /// `if-none-match` ask; to `HEAD` with its length. Errors are JSON.
    pub async fn send(&self, entry: &Entry) -> Response<H> {
        blob::send(self.host, self.request, entry).await
    }

    /// Saves the request's body under a key, in the scope that the policy chooses. The body goes to the
    /// storage without entering the component.
    ///
    /// # Errors
    /// `already_exists` if the key is saved, or another request is saving it; `permission_denied` if the
    /// token has no writable scope or a rule refuses; `invalid_argument`, `no_space`, `unavailable`.
    pub async fn save(&self, key: &str, version: &str) -> Result<Entry, Error> {
        let message = Message { key: key.to_owned(), version: version.to_owned(), ..Message::default() };
        let message = message.validate()?;
        self.request.record(|outcome| outcome.set_key(&message.key, &message.version));
        let caller = self.caller();
        let slot = message.slot(&self.claims, service::writable_scope(&caller)?);
        let announced = self.request.header("content-length").and_then(|length| length.trim().parse().ok());
        if let (Some(size), Some(limit)) = (announced, self.host.settings().max_entry_bytes)
            && size > limit
        {
            return Err(Error::too_large());
        }
        let Grant { upload, .. } = service::reserve(&caller, slot, announced).await?;
        let saved = self.store(&caller, &upload).await;
        if saved.is_err() {
            self.give_up(upload).await;
        }
        saved
    }

    async fn store(&self, caller: &Caller<'_, H>, upload: &Upload) -> Result<Entry, Error> {
        let stored = self.host.put(upload.name.clone(), &self.request.incoming).await?;
        let size_bytes = stored.size_bytes;
        let attached = service::attach(self.host, upload.clone(), stored, self.request.received_ms).await;
        attached.map_err(service::AttachError::into_error)?;
        let entry = service::finalize(caller, upload.slot.clone(), size_bytes).await?;
        let entry = entry.ok_or_else(|| Error::new(Code::NoSpace, service::FULL))?;
        self.request.record(|outcome| {
            outcome.set_kind(OutcomeKind::Finalized);
            outcome.entry = Some(entry.id);
        });
        Ok(entry)
    }

    /// Frees the slot of an upload that came to nothing, so that a retry need not wait until it is idle.
    async fn give_up(&self, upload: Upload) {
        if let Ok(true) = self.host.abandon(upload.id).await {
            cleanup::discard(self.host, upload.name).await;
        }
    }

    fn caller(&self) -> Caller<'_, H> {
        Caller { policy: self.policy, host: self.host, request: self.request, claims: &self.claims }
    }
}

impl Error {
    /// Logs the error, and returns it as a response: its status, and JSON with `code` and `msg`.
    #[must_use]
    pub fn into_response<H: Host>(self, host: &H, request: &Request<H::IncomingRequest>) -> Response<H> {
        twirp::error_response(host, request, &self)
    }
}

#[cfg(test)]
mod tests;
