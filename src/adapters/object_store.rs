//! Events that are too large for a message, kept in a JetStream object store under their content identifiers.

use async_nats::jetstream::Context;
use async_nats::jetstream::object_store::{Config, ObjectMetadata, ObjectStore};
use sha2::{Digest as _, Sha256};

use super::message::EventObject;
use crate::config::NatsConfig;
use crate::text::visible;

/// The largest piece of an object, in bytes, where the server takes messages that large: what other clients use.
const CHUNK: usize = 128 * 1024;

/// Why an event could not be put into the object store.
#[derive(Debug, Clone, thiserror::Error)]
#[error("object store {bucket}: could not {action}: {problem}")]
pub struct ObjectStoreError {
    /// The bucket.
    pub bucket: String,
    /// What was tried.
    pub action: &'static str,
    /// What the server said, made visible.
    pub problem: String,
}

/// The bucket of a configuration, made when it is first needed.
pub struct Objects {
    context: Context,
    bucket: String,
    replicas: usize,
    store: tokio::sync::OnceCell<ObjectStore>,
}

impl Objects {
    /// Names the bucket; the server is not asked yet.
    #[must_use]
    pub fn new(context: Context, config: &NatsConfig) -> Self {
        Self {
            context,
            bucket: config.object_store_bucket.as_str().to_owned(),
            replicas: config.replicas.into(),
            store: tokio::sync::OnceCell::new(),
        }
    }

    /// Makes sure that an object is there. One that is there already, whole, is left as it is, so that trying again
    /// costs a look; one that is there with another content is replaced. The server takes messages of `max_payload` bytes.
    ///
    /// # Errors
    /// See [`ObjectStoreError`].
    pub async fn put(&self, object: &EventObject, max_payload: usize) -> Result<(), ObjectStoreError> {
        let store = self.store.get_or_try_init(|| self.open()).await?;
        if let Ok(info) = store.info(&object.name).await
            && !info.deleted
            && info.size == object.block.len()
            && info.digest.as_deref() == Some(&*digest(&object.block))
        {
            return Ok(());
        }
        let chunk_size = Some(max_payload.clamp(1, CHUNK));
        let metadata = ObjectMetadata { name: object.name.clone(), chunk_size, ..ObjectMetadata::default() };
        let mut bytes: &[u8] = &object.block;
        store.put(metadata, &mut bytes).await.map(drop).map_err(|error| self.failed("store an event", &error))
    }

    async fn open(&self) -> Result<ObjectStore, ObjectStoreError> {
        if let Ok(store) = self.context.get_object_store(&self.bucket).await {
            return Ok(store);
        }
        let config = Config { bucket: self.bucket.clone(), num_replicas: self.replicas, ..Config::default() };
        self.context.create_object_store(config).await.map_err(|error| self.failed("make the bucket", &error))
    }

    fn failed(&self, action: &'static str, error: &dyn std::error::Error) -> ObjectStoreError {
        ObjectStoreError { bucket: self.bucket.clone(), action, problem: visible(&error.to_string()).into_owned() }
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// A digest as the object store writes it: base64 in the URL's alphabet, with padding.
fn digest(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hash = Sha256::digest(bytes);
    let mut text = String::from("SHA-256=");
    for chunk in hash.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let index = (bits >> (18 - 6 * i) & 63) as usize;
            text.push(if i > chunk.len() { '=' } else { char::from(ALPHABET[index]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_the_object_store_writes_them() {
        // SHA-256 of nothing, by `openssl dgst -sha256 -binary </dev/null | basenc --base64url`.
        assert_eq!(digest(b""), "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
