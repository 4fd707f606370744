//! Connections to the controller with the files of an identity: read anew for each, so a renewed certificate is used at the next session.

use super::config::Settings;
use super::link::Connector;
use super::packages::Boxed;
use std::path::Path;
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// A connection that says nothing for so long is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Connects with `device.key`, `device.crt` and `roots.crt` of a folder; without them when the address is plain `http`.
#[derive(Debug, Clone)]
pub struct Files {
    settings: Settings,
}

impl Files {
    /// With the identity that the settings name.
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone() }
    }

    async fn channel(&self) -> Result<Channel, String> {
        let mut endpoint = Endpoint::from_shared(self.settings.controller.clone())
            .map_err(|e| e.to_string())?
            .connect_timeout(self.settings.connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        if self.settings.controller.starts_with("https") {
            let folder = &self.settings.identity;
            let identity = Identity::from_pem(read(&folder.join("device.crt"))?, read(&folder.join("device.key"))?);
            let roots = Certificate::from_pem(read(&folder.join("roots.crt"))?);
            let tls = ClientTlsConfig::new().identity(identity).ca_certificate(roots);
            endpoint = endpoint.tls_config(tls).map_err(|e| chain(&e))?;
        }
        endpoint.connect().await.map_err(|e| chain(&e))
    }
}

impl Connector for Files {
    fn connect(&self) -> Boxed<'_, Result<Channel, String>> {
        Box::pin(self.channel())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// An error with its causes: the outermost says only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
