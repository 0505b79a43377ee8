//! What the command line and `CHATPIC_*` variables can set.

use std::net::SocketAddr;
use std::path::PathBuf;

use chatpic_core::{SessionId, ShareId};
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;

/// Private, temporary image sharing in which every view can be traced.
#[derive(Parser)]
#[command(name = "chatpic", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the site (the default)
    Serve,
    /// Name the viewing session that a leaked picture was served to
    Trace(Trace),
    /// End and delete what is due, once
    Sweep,
    /// End a share now and delete its images
    Burn {
        /// The share's id, as it stands in its link
        id: ShareId,
    },
}

#[derive(Args)]
pub(crate) struct Settings {
    /// Address and port to listen on; port 0 picks a free one
    #[arg(long, env = "CHATPIC_LISTEN", default_value = "127.0.0.1:8080", global = true)]
    pub(crate) listen: SocketAddr,
    /// Folder of the database, the sealed images and the secret
    #[arg(long, env = "CHATPIC_DATA", default_value = "./chatpic-data", value_name = "DIR", global = true)]
    pub(crate) data: PathBuf,
    /// Where shares are kept: sqlite://FILE, postgres://.. or mysql://USER:PASSWORD@HOST/DATABASE
    /// [default: DIR/chatpic.sqlite]
    // Not shown with its value: a URL may hold a password.
    #[arg(long, env = "CHATPIC_DATABASE", value_name = "URL", hide_env_values = true, global = true)]
    pub(crate) database: Option<String>,
    /// Where sealed images are kept: file://DIR or s3://BUCKET/PREFIX, with keys, region and endpoint from the
    /// AWS_* variables [default: DIR/blobs]
    #[arg(long, env = "CHATPIC_BLOBS", value_name = "URL", hide_env_values = true, global = true)]
    pub(crate) blobs: Option<String>,
    /// File of the installation's secret [default: DIR/secret, made at the first start]
    #[arg(long, env = "CHATPIC_SECRET_FILE", value_name = "FILE", global = true)]
    pub(crate) secret_file: Option<PathBuf>,
    /// The site's public address, for links [default: the request's Host]
    #[arg(long, env = "CHATPIC_BASE_URL", value_name = "URL", global = true)]
    pub(crate) base_url: Option<String>,
    /// A proxy whose headers are believed; can be given several times
    #[arg(long, env = "CHATPIC_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',', global = true)]
    pub(crate) trusted_proxy: Vec<IpNet>,
    /// The header in which a trusted proxy gives the client's address
    #[arg(
        long,
        env = "CHATPIC_CLIENT_HEADER",
        default_value = "X-Forwarded-For",
        value_name = "NAME",
        global = true
    )]
    pub(crate) client_header: String,
    /// The header in which a trusted proxy gives the client's country
    #[arg(long, env = "CHATPIC_COUNTRY_HEADER", value_name = "NAME", global = true)]
    pub(crate) country_header: Option<String>,
}

#[derive(Args)]
pub(crate) struct Trace {
    /// The leaked picture; `-` reads standard input
    pub(crate) leak: PathBuf,
    /// Look at this share only
    #[arg(long, value_name = "ID")]
    pub(crate) share: Option<ShareId>,
    /// Look at sessions of this ID only, as drawn on the picture
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<SessionId>,
    /// The picture that was uploaded, which makes the search surer
    #[arg(long, value_name = "FILE")]
    pub(crate) original: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
