//! The files, and what is read from them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use larder_common::FileStamp;
use rustls::{
    Error, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use simple_asn1::{ASN1Block, from_der};

use crate::TlsFault;

/// The versions of HTTP, as ALPN names them, in the order of preference.
const HTTP_VERSIONS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where the parts of a listener's TLS are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The section that names them, for errors, such as `server.tls`.
    pub section: String,
    /// The certificate, and after it those that lead to a known authority; PEM.
    pub certificate: PathBuf,
    /// Its private key; PEM, without a password.
    pub key: PathBuf,
    /// Certificates of the authorities whose client certificates count; `None`: clients are not
    /// asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is served all the same.
    pub is_client_optional: bool,
    /// Whether only HTTP/1.1 is offered: a listener that has no HTTP/2 must say so.
    pub is_http1_only: bool,
}

/// What the files hold.
pub(crate) struct Loaded {
    pub(crate) config: Arc<ServerConfig>,
    /// End of the certificate's validity, in seconds since 1970; `None` where it cannot be parsed.
    pub(crate) not_after_s: Option<u64>,
}

impl TlsFiles {
    /// Returns what tells that the files are other ones.
    pub(crate) fn stamps(&self) -> Vec<Option<FileStamp>> {
        self.paths().map(FileStamp::of).collect()
    }

    /// Returns the paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Loaded, TlsFault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = self.certificates("certificate", &self.certificate)?;
        let not_after_s = chain.first().and_then(not_after_s);
        let verifier = self.client_verifier(&provider)?;
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let key = Arc::new(self.certified_key(chain, &provider)?);
        let mut config = builder
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        let versions = if self.is_http1_only { &HTTP_VERSIONS[1..] } else { &HTTP_VERSIONS[..] };
        config.alpn_protocols = versions.iter().map(|version| version.to_vec()).collect();
        // Without state in the server: any number of clients resume. A new one for each configuration, so
        // that a session cannot outlive the authority that its client was checked by.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Loaded { config: Arc::new(config), not_after_s })
    }

    fn setting(&self, name: &str) -> String {
        format!("{}.{name}", self.section)
    }

    fn certificates(&self, name: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
        let unreadable =
            |source| TlsFault::Unreadable { setting: self.setting(name), path: path.to_owned(), source };
        let all = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(unreadable)?;
        if all.is_empty() {
            let (setting, path) = (self.setting(name), path.to_owned());
            return Err(TlsFault::Empty { setting, path, what: "certificate" });
        }
        Ok(all)
    }

    fn certified_key(
        &self,
        chain: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsFault> {
        let (setting, path) = (self.setting("key"), self.key.clone());
        let key = match PrivateKeyDer::from_pem_file(&path) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => {
                let what = "private key without a password";
                return Err(TlsFault::Empty { setting, path, what });
            }
            Err(source) => return Err(TlsFault::Unreadable { setting, path, source }),
        };
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsFault::Mismatch { setting, key: path, certificate: self.certificate.clone() }
            }
            Error::InvalidCertificate(_) => {
                let (setting, path) = (self.setting("certificate"), self.certificate.clone());
                TlsFault::Unusable { setting, path, source: error }
            }
            source => TlsFault::Unusable { setting, path, source },
        })
    }

    fn client_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsFault> {
        let Some(path) = &self.client_ca else { return Ok(WebPkiClientVerifier::no_client_auth()) };
        let setting = self.setting("client_ca");
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates("client_ca", path)? {
            roots.add(certificate).map_err(|source| TlsFault::Unusable {
                setting: setting.clone(),
                path: path.clone(),
                source,
            })?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = if self.is_client_optional { verifier.allow_unauthenticated() } else { verifier };
        verifier.build().map_err(|source| TlsFault::Authority { setting, path: path.clone(), source })
    }
}

/// Returns when a certificate ends, in seconds since 1970: the second time of its validity (RFC 5280,
/// 4.1).
fn not_after_s(certificate: &CertificateDer<'_>) -> Option<u64> {
    let blocks = from_der(certificate).ok()?;
    let content = sequence(sequence(blocks.first()?)?.first()?)?;
    let mut validities = content.iter().filter_map(sequence).filter_map(|parts| match parts {
        [begin, end] => time_s(begin).and(time_s(end)),
        _ => None,
    });
    u64::try_from(validities.next()?).ok()
}

fn sequence(block: &ASN1Block) -> Option<&[ASN1Block]> {
    match block {
        ASN1Block::Sequence(_, blocks) => Some(blocks),
        _ => None,
    }
}

fn time_s(block: &ASN1Block) -> Option<i64> {
    match block {
        ASN1Block::UTCTime(_, time) | ASN1Block::GeneralizedTime(_, time) => {
            Some(time.assume_utc().unix_timestamp())
        }
        _ => None,
    }
}
