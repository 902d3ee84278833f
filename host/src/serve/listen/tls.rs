//! TLS: a certificate and its key from files, read again when they are told to have
//! changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};

/// What HTTP/2 is called.
pub(super) const HTTP_2: &[u8] = b"h2";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{}: {message}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// The two do not go together.
    #[error("{} and {} do not go together: {source}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: Error,
    },
}

/// A certificate that may be replaced while connections come.
#[derive(Debug)]
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads both files, PEM.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        let current = RwLock::new(Arc::new(read(certificate, key)?));
        Ok(Tls { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// Reads both files again. Connections from here on get what is in them.
    ///
    /// # Errors
    /// See [`TlsError`]: what there was stays.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(read(&self.certificate, &self.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let config = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(|error| wrong(certificate, error, "CERTIFICATE"))?
        .collect();
    let chain = chain.map_err(|error| wrong(certificate, error, "CERTIFICATE"))?;
    if chain.is_empty() {
        return Err(wrong(certificate, pem::Error::NoItemsFound, "CERTIFICATE"));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error, "PRIVATE KEY"))?;
    let pair = |source: Error| TlsError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, private).map_err(pair)?;
    config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn wrong(path: &Path, error: pem::Error, wanted: &str) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::Read { path, source },
        pem::Error::NoItemsFound => {
            let message = format!("no `-----BEGIN {wanted}-----` in it: a PEM file is wanted");
            TlsError::Content { path, message }
        }
        other => TlsError::Content { path, message: format!("this is no PEM file: {other}") },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn wrong_files_are_named_with_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let first = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(path("cert.pem"), first.cert.pem()).unwrap();
        fs::write(path("key.pem"), first.signing_key.serialize_pem()).unwrap();
        fs::write(path("other.pem"), other.signing_key.serialize_pem()).unwrap();
        fs::write(path("text"), "nothing\n").unwrap();
        Tls::load(&path("cert.pem"), &path("key.pem")).unwrap();
        let said = |certificate: &str, key: &str| {
            let error = Tls::load(&path(certificate), &path(key)).unwrap_err().to_string();
            error.replace(&directory.path().display().to_string(), "DIR")
        };
        assert!(said("none", "key.pem").starts_with("cannot read DIR/none: "));
        assert!(said("cert.pem", "none").starts_with("cannot read DIR/none: "));
        let no = |name, wanted| {
            format!("DIR/{name}: no `-----BEGIN {wanted}-----` in it: a PEM file is wanted")
        };
        assert_eq!(said("text", "key.pem"), no("text", "CERTIFICATE"));
        assert_eq!(said("key.pem", "key.pem"), no("key.pem", "CERTIFICATE"));
        assert_eq!(said("cert.pem", "cert.pem"), no("cert.pem", "PRIVATE KEY"));
        let pair = said("cert.pem", "other.pem");
        assert!(pair.contains("do not go together"), "{pair}");
    }
}
