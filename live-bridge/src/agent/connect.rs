//! Connections to the controller with the device's identity, and the next certificate before this one ends.

use super::config::Settings;
use super::link::Connector;
use super::packages::Boxed;
use crate::trust::{ClientFiles, ClientTrust, Identity};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// A connection that says nothing for so long is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Mutual TLS with the files of a device.
#[derive(Debug, Clone)]
pub struct Trusting {
    trust: Arc<ClientTrust>,
    controller: String,
}

impl Trusting {
    /// With the identity in the folder that the settings name. Where they do not say which device this is, the certificate does.
    ///
    /// # Errors
    /// The files are not there or do not fit together, or are those of something that is no device, or of another one.
    pub fn new(settings: &mut Settings) -> Result<Self, String> {
        let files = ClientFiles::in_folder(&settings.identity);
        let trust = ClientTrust::open(files).map_err(|error| chain(&error))?;
        let Identity::Device(id) = trust.identity() else {
            return Err(format!("{}: the certificate is not that of a device", settings.identity.display()));
        };
        if settings.device_id.is_empty() {
            settings.device_id = id;
        } else if settings.device_id != id {
            let (folder, wanted) = (settings.identity.display(), &settings.device_id);
            return Err(format!("{folder}: the certificate is that of device `{id}`, and `device_id` is `{wanted}`"));
        }
        Ok(Self { trust, controller: settings.controller.clone() })
    }
}

impl Connector for Trusting {
    fn connect(&self) -> Boxed<'_, Result<Channel, String>> {
        Box::pin(async { self.trust.channel(&self.controller).map_err(|error| chain(&error)) })
    }

    fn begin_renewal(&self) -> Option<Result<String, String>> {
        let due = self.trust.renewal_due();
        due.then(|| self.trust.begin_renewal().map_err(|error| chain(&error)))
    }

    fn finish_renewal(&self, chain_pem: &str, authorities: &str) -> Result<(), String> {
        self.trust.finish_renewal(chain_pem, authorities).map_err(|error| chain(&error))
    }
}

/// No TLS at all: for tests on one machine. A controller takes no such connection from anybody.
#[derive(Debug, Clone)]
pub struct Plain {
    controller: String,
    limit: Duration,
}

impl Plain {
    /// To the controller that the settings name.
    pub fn new(settings: &Settings) -> Self {
        Self { controller: settings.controller.clone(), limit: settings.connect }
    }

    async fn channel(&self) -> Result<Channel, String> {
        let endpoint = Endpoint::from_shared(self.controller.clone()).map_err(|error| chain(&error))?;
        let endpoint = endpoint
            .connect_timeout(self.limit)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        endpoint.connect().await.map_err(|error| chain(&error))
    }
}

impl Connector for Plain {
    fn connect(&self) -> Boxed<'_, Result<Channel, String>> {
        Box::pin(self.channel())
    }
}

/// An error with its causes: the outermost often says only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
