//! Signatures over seals: a seal tells of a tape that was changed by accident, a signature of one that was changed on purpose.
//!
//! A mark behind the seal has an Ed25519 signature over the sum of all lines, made with a private key as `openssl genpkey -algorithm ed25519`
//! writes it. Whoever has the public key ([`SealVerifier`]) knows that the tape is the one that was signed. The mark is only ever
//! appended, also to a packed tape: a frame of zstd behind the others.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::seal::is_seal;
use crate::tape::format::{Mark, SealSignature, TapeError, TapeSeal};
use crate::tape::read::TapeBytes;

/// Says what is signed, so that a signature is good for nothing else.
const CONTEXT: &str = "tapline tape seal";
/// What a SubjectPublicKeyInfo begins with that has such a key (RFC 8410), and the bytes of the key, which end it.
const ED25519_KEY: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const PUBLIC: usize = 32;
const NO_KEY: &str = "no Ed25519 key in PEM, as `openssl genpkey -algorithm ed25519` writes the private one and `openssl pkey -pubout` the public one";

/// A private key.
pub struct SealSigner(Ed25519KeyPair);

/// A public key.
pub struct SealVerifier(Vec<u8>);

/// Whether somebody has signed a tape.
///
/// # Errors
/// Where it cannot be read.
pub fn is_signed(path: &Path) -> io::Result<bool> {
    let mut lines = BufReader::new(TapeBytes::open(path)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if line.starts_with(SIGNATURE) {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

impl SealSigner {
    /// # Errors
    /// Where the text is no private key.
    pub fn of_pem(text: &str) -> Result<Self, &'static str> {
        let der = pem(text, "PRIVATE KEY").ok_or(NO_KEY)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| NO_KEY)
    }

    fn sign(&self, seal: &TapeSeal) -> SealSignature {
        SealSignature {
            key: STANDARD.encode(self.0.public_key().as_ref()),
            signature: STANDARD.encode(self.0.sign(&signed(seal))),
        }
    }
}

impl SealVerifier {
    /// # Errors
    /// Where the text is no public key.
    pub fn of_pem(text: &str) -> Result<Self, &'static str> {
        let der = pem(text, "PUBLIC KEY").ok_or(NO_KEY)?;
        let key = der.strip_prefix(ED25519_KEY).filter(|key| key.len() == PUBLIC).ok_or(NO_KEY)?;
        Ok(Self(key.to_vec()))
    }

    /// Whether the signature over a seal was made with the private key of this one.
    pub fn has_signed(&self, seal: &TapeSeal, signature: &SealSignature) -> bool {
        let bytes = STANDARD.decode(&signature.signature).unwrap_or_default();
        UnparsedPublicKey::new(&ED25519, &self.0).verify(&signed(seal), &bytes).is_ok()
    }
}

fn signed(seal: &TapeSeal) -> Vec<u8> {
    format!("{CONTEXT}\n{}\n{}\n", seal.lines, seal.sha256).into_bytes()
}

fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

/// Signs the seal of a tape, which is the last thing on it.
///
/// # Errors
/// Where the tape cannot be read or written. `Ok(false)`: it has no seal, or lines came behind it.
pub fn sign(path: &Path, signer: &SealSigner) -> Result<bool, TapeError> {
    let cannot_read = |error| TapeError::CannotRead { path: path.to_owned(), error };
    let Some((seal, signatures)) = last_seal(path).map_err(cannot_read)? else { return Ok(false) };
    let signature = signer.sign(&seal);
    // Of one seal and one key, a signature is always the same.
    if signatures.contains(&signature) {
        return Ok(true);
    }
    let mut line = serde_json::to_vec(&Mark::Signature(signature)).expect("a mark is JSON");
    line.push(b'\n');
    let append = || {
        let packed = matches!(TapeBytes::open(path)?, TapeBytes::Packed(_));
        let line = if packed { zstd::bulk::compress(&line, 0)? } else { line };
        std::fs::OpenOptions::new().append(true).open(path)?.write_all(&line)
    };
    append().map_err(|error| TapeError::CannotWrite { path: path.to_owned(), error })?;
    Ok(true)
}

/// The seal that a tape ends with, and the signatures behind it.
fn last_seal(path: &Path) -> io::Result<Option<(TapeSeal, Vec<SealSignature>)>> {
    let mut reader = BufReader::new(TapeBytes::open(path)?);
    let (mut line, mut seal, mut signatures) = (Vec::new(), None, Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        if !line.starts_with(SIGNATURE) {
            signatures.clear();
            seal = match is_seal(&line).then(|| serde_json::from_slice(&line)) {
                Some(Ok(Mark::Seal(seal))) => Some(seal),
                _ => None,
            };
        } else if let Ok(Mark::Signature(signature)) = serde_json::from_slice(&line) {
            signatures.push(signature);
        }
        line.clear();
    }
    Ok(seal.map(|seal| (seal, signatures)))
}

/// How the line of a signature begins.
pub(super) const SIGNATURE: &[u8] = br#"{"mark":"signature""#;
