//! A place in an object store, by its URL. Credentials, region and endpoint come from the variables that each store's own tools read.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::{HttpBuilder, HttpStore};
use object_store::multipart::MultipartStore;
use object_store::path::Path as ObjectPath;
use object_store::{ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use reqwest::Url;

use crate::secret::Label;

/// A request is tried again for so long: whoever waits for it has a tapline that wants to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often, at most.
const RETRIES: usize = 5;

/// An object, or a prefix of objects.
pub(super) struct StorePlace {
    pub(super) store: KnownStore,
    pub(super) path: ObjectPath,
    pub(super) url: Url,
}

pub(super) enum KnownStore {
    S3(AmazonS3),
    Gcs(GoogleCloudStorage),
    Azure(MicrosoftAzure),
    Http(HttpStore),
}

impl KnownStore {
    fn of(scheme: &ObjectStoreScheme, url: &Url) -> anyhow::Result<Self> {
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: PATIENCE, ..RetryConfig::default() };
        let text = url.as_str();
        Ok(match scheme {
            ObjectStoreScheme::AmazonS3 => {
                let names = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
                let builder = AmazonS3Builder::from_env().with_url(text).with_retry(retry);
                Self::S3((if is_plain(&names) { builder.with_allow_http(true) } else { builder }).build()?)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let builder = GoogleCloudStorageBuilder::from_env().with_url(text).with_retry(retry);
                Self::Gcs(with_emulator(builder).build()?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let names = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];
                let builder = with_cli_names(MicrosoftAzureBuilder::from_env()).with_url(text).with_retry(retry);
                Self::Azure((if is_plain(&names) { builder.with_allow_http(true) } else { builder }).build()?)
            }
            ObjectStoreScheme::Http => {
                let options = ClientOptions::new().with_allow_http(true);
                let builder = HttpBuilder::new().with_url(url.origin().ascii_serialization());
                Self::Http(builder.with_retry(retry).with_client_options(options).build()?)
            }
            _ => bail!("{} is in no store that is known", Label::of_url(url.as_str()).as_str()),
        })
    }

    pub(super) fn objects(&self) -> &dyn ObjectStore {
        match self {
            Self::S3(store) => store,
            Self::Gcs(store) => store,
            Self::Azure(store) => store,
            Self::Http(store) => store,
        }
    }

    /// As one that takes an object part by part.
    pub(super) fn parts(&self) -> Option<&dyn MultipartStore> {
        match self {
            Self::S3(store) => Some(store),
            Self::Gcs(store) => Some(store),
            Self::Azure(store) => Some(store),
            Self::Http(_) => None,
        }
    }
}

impl StorePlace {
    /// # Errors
    /// Where the URL is of no store that is known, or the environment does not say how to reach it.
    pub(super) fn of(url: &str) -> anyhow::Result<Self> {
        // The process's provider of cryptography; already installed is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let label = Label::of_url(url);
        let url = Url::parse(url).with_context(|| format!("`{}` is no URL", label.as_str()))?;
        let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|error| anyhow!("{}: {error}", label.as_str()))?;
        Ok(Self { store: KnownStore::of(&scheme, &url)?, path, url })
    }

    /// Where it is, or an object of the same store, for people: without the credentials that a URL may have.
    pub(super) fn shown(&self, path: &ObjectPath) -> String {
        let mut url = self.url.clone();
        // The store's own path may leave out the bucket, which stands in that of some URLs.
        let below = path.as_ref().strip_prefix(self.path.as_ref()).unwrap_or_default().trim_start_matches('/');
        if !below.is_empty() {
            url.set_path(&format!("{}/{below}", url.path().trim_end_matches('/')));
        }
        url.set_query(None);
        url.set_fragment(None);
        // One that cannot have them has none.
        let _ = (url.set_username(""), url.set_password(None));
        url.into()
    }
}

/// Google's own tools find an emulator by this variable, and ask for no credentials there.
fn with_emulator(builder: GoogleCloudStorageBuilder) -> GoogleCloudStorageBuilder {
    let is_given = |key| builder.get_config_value(&key).is_some();
    let (has_url, has_token) = (is_given(GoogleConfigKey::BaseUrl), is_given(GoogleConfigKey::BearerToken));
    let Some(host) = std::env::var("STORAGE_EMULATOR_HOST").ok().filter(|host| !host.is_empty() && !has_url) else {
        return builder;
    };
    let url = if host.contains("://") { host } else { format!("http://{host}") };
    let builder = builder.with_base_url(url.trim_end_matches('/'));
    if has_token { builder } else { builder.with_bearer_token("none") }
}

/// Azure's own tool has these names for what the crate reads as `AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ACCOUNT_KEY`.
fn with_cli_names(builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
    let names =
        [("AZURE_STORAGE_ACCOUNT", AzureConfigKey::AccountName), ("AZURE_STORAGE_KEY", AzureConfigKey::AccessKey)];
    names.into_iter().fold(builder, |builder, (name, key)| match std::env::var(name) {
        Ok(value) if builder.get_config_value(&key).is_none() => builder.with_config(key, value),
        _ => builder,
    })
}

/// Whether an endpoint without TLS is named: who does that wants it.
fn is_plain(names: &[&str]) -> bool {
    names.iter().any(|name| std::env::var(name).is_ok_and(|endpoint| endpoint.starts_with("http://")))
}
