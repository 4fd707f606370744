//! Connections to the controller with the device's identity, and the next certificate before this one ends.

use super::config::Settings;
use super::link::Connector;
use super::packages::Boxed;
use crate::causes::with_causes;
use crate::trust::{ClientFiles, ClientTrust, Identity};
use std::sync::Arc;
use tonic::transport::Channel;

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
        let trust = ClientTrust::open(files).map_err(|error| with_causes(&error))?;
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
        Box::pin(async { self.trust.channel(&self.controller).map_err(|error| with_causes(&error)) })
    }

    fn begin_renewal(&self) -> Option<Result<String, String>> {
        let due = self.trust.renewal_due();
        due.then(|| self.trust.begin_renewal().map_err(|error| with_causes(&error)))
    }

    fn finish_renewal(&self, chain_pem: &str, authorities: &str) -> Result<(), String> {
        self.trust.finish_renewal(chain_pem, authorities).map_err(|error| with_causes(&error))
    }
}
