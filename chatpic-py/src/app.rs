//! `chatpic.ChatPic` and `chatpic.View`: the life of a share. Each call has a twin to be awaited.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chatpic_core::{
    AccessPolicy, ChatPic as Core, Cursor, DashboardKey, Device, InstallationSecret, LinkKey, Opened,
    Opening, OsEntropy, Password, SessionToken, ShareId, VisibleMark,
};
use chatpic_site::{Place, default_limits};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::answers::{Cover, Dashboard, ImageInfo, Receipt, Share, Swept, TraceReport, images, instant};
use crate::errors::Failure;
use crate::given::{ImageFile, Index, MaxViews, Secret, Span, Text, Where};
use crate::runtime::{Home, spawn, wait};

/// Private, temporary image sharing: one installation, opened.
///
/// Several may be open on the same stores at once, in one process or in many, beside a running site.
/// Every method ends in `_async` once more, as a coroutine for asyncio; giving up on one of these stops its work.
///
/// >>> import chatpic
/// >>> picture = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
/// >>> app = chatpic.ChatPic.in_memory()
/// >>> share = app.create([picture], max_views=1)
/// >>> view = app.view(share.id, share.link_key, country="NZ")
/// >>> view.views_left, view.image(0)[:2]
/// (0, b'\xff\xd8')
/// >>> app.view(share.id, share.link_key)
/// Traceback (most recent call last):
///     ...
/// chatpic.NotFound: there is no such share, or it has ended
/// >>> app.dashboard(share.id, share.dashboard_key).countries
/// [('NZ', 1)]
/// >>> app.burn(share.id, share.dashboard_key).objects_pending
/// 0
#[pyclass(frozen, module = "chatpic")]
pub(crate) struct ChatPic {
    /// Until it is closed.
    core: Mutex<Option<Core>>,
    home: Home,
}

impl ChatPic {
    fn core(&self) -> Result<Core, Failure> {
        self.home.check()?;
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner).clone();
        core.ok_or_else(|| Failure::Said("this ChatPic is closed".to_owned()))
    }

    /// Takes the core away, unless that was done before.
    fn closed(&self) -> Option<Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How often it sweeps by itself.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How an installation is opened, beside its place.
struct Ways {
    visible_mark: bool,
    sweep_every: Option<Duration>,
}

#[pymethods]
impl ChatPic {
    /// Opens an installation, and makes it if there is none.
    ///
    /// Everything lies in the folder `data` unless told otherwise: `database` is `sqlite://FILE`,
    /// `postgres://USER:PASSWORD@HOST/DATABASE` or `mysql://..`; `blobs` is `file://FOLDER` or `s3://BUCKET/PREFIX`,
    /// with keys, region and endpoint from the `AWS_*` variables; `secret` is the installation's secret, 32 bytes,
    /// or the file that holds it. Without `visible_mark` no session ID is drawn, and the forensic mark is alone.
    ///
    /// While it is open it sweeps by itself, every `sweep_every` (ten seconds unless given): it ends what is due and
    /// deletes what is left of it.
    /// With `None` that is left to `sweep`, or to a site on the same stores.
    #[staticmethod]
    #[pyo3(
        signature = (data = PathBuf::from("./chatpic-data"), *, database = None, blobs = None, secret = None,
            visible_mark = true, sweep_every = Some(Span(SWEEP_EVERY))),
        text_signature = "(data='./chatpic-data', *, database=None, blobs=None, secret=None, visible_mark=True, \
        sweep_every=...)"
    )]
    fn open(
        py: Python<'_>,
        data: PathBuf,
        database: Option<String>,
        blobs: Option<String>,
        secret: Option<Secret>,
        visible_mark: bool,
        sweep_every: Option<Span>,
    ) -> PyResult<Self> {
        wait(
            py,
            open(
                data,
                database,
                blobs,
                secret,
                Ways { visible_mark, sweep_every: sweep_every.map(|every| every.0) },
            ),
        )
    }

    /// `open`, to be awaited.
    #[staticmethod]
    #[pyo3(
        signature = (data = PathBuf::from("./chatpic-data"), *, database = None, blobs = None, secret = None,
            visible_mark = true, sweep_every = Some(Span(SWEEP_EVERY))),
        text_signature = "(data='./chatpic-data', *, database=None, blobs=None, secret=None, visible_mark=True, \
        sweep_every=...)"
    )]
    async fn open_async(
        data: PathBuf,
        database: Option<String>,
        blobs: Option<String>,
        secret: Option<Secret>,
        visible_mark: bool,
        sweep_every: Option<Span>,
    ) -> PyResult<Self> {
        spawn(open(
            data,
            database,
            blobs,
            secret,
            Ways { visible_mark, sweep_every: sweep_every.map(|every| every.0) },
        ))
        .await
    }

    /// An installation that is gone with the process, for tests and trials.
    #[staticmethod]
    #[pyo3(signature = (*, visible_mark = true))]
    fn in_memory(py: Python<'_>, visible_mark: bool) -> PyResult<Self> {
        let secret = InstallationSecret::random(&OsEntropy);
        let ways = Ways { visible_mark, sweep_every: Some(SWEEP_EVERY) };
        wait(py, build(Core::builder(secret), ways))
    }

    /// Makes a share of 1 to 10 images, each a file's bytes or its path.
    ///
    /// It lives for `expires_in` (seven days unless given), grants `max_views` views, asks viewers for `password`,
    /// and its leaks can be traced for `keep_ledger` after its end (90 days unless given). A second call with the
    /// same `idempotency_key`, images and options makes no second share.
    #[pyo3(signature = (images, *, expires_in = None, max_views = None, password = None, keep_ledger = None,
        idempotency_key = None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords")]
    fn create(
        &self,
        py: Python<'_>,
        images: Vec<ImageFile>,
        expires_in: Option<Span>,
        max_views: Option<MaxViews>,
        password: Option<String>,
        keep_ledger: Option<Span>,
        idempotency_key: Option<String>,
    ) -> PyResult<Share> {
        let policy = policy(expires_in, max_views, password, keep_ledger);
        wait(py, create(self.core()?, images, policy, idempotency_key))
    }

    /// `create`, to be awaited.
    #[pyo3(signature = (images, *, expires_in = None, max_views = None, password = None, keep_ledger = None,
        idempotency_key = None))]
    async fn create_async(
        &self,
        images: Vec<ImageFile>,
        expires_in: Option<Span>,
        max_views: Option<MaxViews>,
        password: Option<String>,
        keep_ledger: Option<Span>,
        idempotency_key: Option<String>,
    ) -> PyResult<Share> {
        let policy = policy(expires_in, max_views, password, keep_ledger);
        spawn(create(self.core()?, images, policy, idempotency_key)).await
    }

    /// What a cover page of an active share shows; needs no key and spends nothing.
    fn cover(&self, py: Python<'_>, share_id: Text<ShareId>) -> PyResult<Cover> {
        wait(py, cover(self.core()?, share_id.0))
    }

    /// `cover`, to be awaited.
    async fn cover_async(&self, share_id: Text<ShareId>) -> PyResult<Cover> {
        spawn(cover(self.core()?, share_id.0)).await
    }

    /// Opens a viewing session, which spends a view.
    ///
    /// Wrong passwords are counted by `address`, which is never stored; without one, for the share alone. `country` (two letters, or what proxies
    /// send for an unknown one) and the kind of device that `user_agent` tells are shown on the dashboard. The same `nonce`, 16 to 64 random bytes, within a
    /// minute finds the same session again and spends nothing.
    #[pyo3(signature = (share_id, link_key, *, password = None, country = None, user_agent = None,
        address = String::new(), nonce = None),
        text_signature = "($self, share_id, link_key, *, password=None, country=None, user_agent=None, address='', \
        nonce=None)")]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords")]
    fn view(
        &self,
        py: Python<'_>,
        share_id: Text<ShareId>,
        link_key: Text<LinkKey>,
        password: Option<String>,
        country: Option<Where>,
        user_agent: Option<String>,
        address: String,
        nonce: Option<Vec<u8>>,
    ) -> PyResult<View> {
        let opening = opening(password, country, user_agent, address, nonce);
        wait(py, view(self.core()?, share_id.0, link_key.0, opening))
    }

    /// `view`, to be awaited.
    #[pyo3(signature = (share_id, link_key, *, password = None, country = None, user_agent = None,
        address = String::new(), nonce = None),
        text_signature = "($self, share_id, link_key, *, password=None, country=None, user_agent=None, address='', \
        nonce=None)")]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords")]
    async fn view_async(
        &self,
        share_id: Text<ShareId>,
        link_key: Text<LinkKey>,
        password: Option<String>,
        country: Option<Where>,
        user_agent: Option<String>,
        address: String,
        nonce: Option<Vec<u8>>,
    ) -> PyResult<View> {
        let opening = opening(password, country, user_agent, address, nonce);
        spawn(view(self.core()?, share_id.0, link_key.0, opening)).await
    }

    /// Goes on with a viewing session, by the `token` that its `View` told; no activity and no view.
    fn resume(&self, py: Python<'_>, share_id: Text<ShareId>, token: Text<SessionToken>) -> PyResult<View> {
        wait(py, resume(self.core()?, share_id.0, token.0))
    }

    /// `resume`, to be awaited.
    async fn resume_async(&self, share_id: Text<ShareId>, token: Text<SessionToken>) -> PyResult<View> {
        spawn(resume(self.core()?, share_id.0, token.0)).await
    }

    /// The uploader's own look: marked `UPLOADER`, spends nothing.
    fn preview(
        &self,
        py: Python<'_>,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
    ) -> PyResult<View> {
        wait(py, preview(self.core()?, share_id.0, dashboard_key.0))
    }

    /// `preview`, to be awaited.
    async fn preview_async(
        &self,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
    ) -> PyResult<View> {
        spawn(preview(self.core()?, share_id.0, dashboard_key.0)).await
    }

    /// Everything that an uploader may know of a share, active or ended; `after` is the `next` of the page before.
    #[pyo3(signature = (share_id, dashboard_key, *, after = None))]
    fn dashboard(
        &self,
        py: Python<'_>,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
        after: Option<Text<Cursor>>,
    ) -> PyResult<Dashboard> {
        wait(py, dashboard(self.core()?, share_id.0, dashboard_key.0, after.map(|after| after.0)))
    }

    /// `dashboard`, to be awaited.
    #[pyo3(signature = (share_id, dashboard_key, *, after = None))]
    async fn dashboard_async(
        &self,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
        after: Option<Text<Cursor>>,
    ) -> PyResult<Dashboard> {
        spawn(dashboard(self.core()?, share_id.0, dashboard_key.0, after.map(|after| after.0))).await
    }

    /// Moves the end of an active share away by `extend_by`, and answers the new one.
    fn extend(
        &self,
        py: Python<'_>,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
        extend_by: Span,
    ) -> PyResult<SystemTime> {
        wait(py, extend(self.core()?, share_id.0, dashboard_key.0, extend_by.0))
    }

    /// `extend`, to be awaited.
    async fn extend_async(
        &self,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
        extend_by: Span,
    ) -> PyResult<SystemTime> {
        spawn(extend(self.core()?, share_id.0, dashboard_key.0, extend_by.0)).await
    }

    /// Sets for how long leaks can be traced after the end, and answers until when.
    fn keep_ledger(
        &self,
        py: Python<'_>,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
        keep_ledger: Span,
    ) -> PyResult<SystemTime> {
        wait(py, set_ledger(self.core()?, share_id.0, dashboard_key.0, keep_ledger.0))
    }

    /// `keep_ledger`, to be awaited.
    async fn keep_ledger_async(
        &self,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
        keep_ledger: Span,
    ) -> PyResult<SystemTime> {
        spawn(set_ledger(self.core()?, share_id.0, dashboard_key.0, keep_ledger.0)).await
    }

    /// Ends a share now: its keys are destroyed first, then its images. Again gives the same receipt.
    fn burn(
        &self,
        py: Python<'_>,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
    ) -> PyResult<Receipt> {
        wait(py, burn(self.core()?, share_id.0, dashboard_key.0))
    }

    /// `burn`, to be awaited.
    async fn burn_async(
        &self,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
    ) -> PyResult<Receipt> {
        spawn(burn(self.core()?, share_id.0, dashboard_key.0)).await
    }

    /// Names the sessions of a share, active or ended, that a leaked picture was served to. The uploader's original,
    /// if given, makes the search surer.
    #[pyo3(signature = (share_id, dashboard_key, leaked, original = None))]
    fn trace(
        &self,
        py: Python<'_>,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
        leaked: ImageFile,
        original: Option<ImageFile>,
    ) -> PyResult<TraceReport> {
        wait(py, trace(self.core()?, share_id.0, dashboard_key.0, leaked, original))
    }

    /// `trace`, to be awaited.
    #[pyo3(signature = (share_id, dashboard_key, leaked, original = None))]
    async fn trace_async(
        &self,
        share_id: Text<ShareId>,
        dashboard_key: Text<DashboardKey>,
        leaked: ImageFile,
        original: Option<ImageFile>,
    ) -> PyResult<TraceReport> {
        spawn(trace(self.core()?, share_id.0, dashboard_key.0, leaked, original)).await
    }

    /// Ends and deletes what is due, once; a running site does this by itself every ten seconds.
    fn sweep(&self, py: Python<'_>) -> PyResult<Swept> {
        wait(py, sweep(self.core()?))
    }

    /// `sweep`, to be awaited.
    async fn sweep_async(&self) -> PyResult<Swept> {
        spawn(sweep(self.core()?)).await
    }

    /// Writes what is not written yet and stops sweeping; views that are open go on.
    ///
    /// `with chatpic.ChatPic.open(..) as app:` and `async with` do it at their end.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.home.check()?;
        wait(py, close(self.closed()))
    }

    /// `close`, to be awaited.
    async fn close_async(&self) -> PyResult<()> {
        self.home.check()?;
        spawn(close(self.closed())).await
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    async fn __aenter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_raised))]
    async fn __aexit__(&self, _raised: Py<PyTuple>) -> PyResult<()> {
        self.close_async().await
    }
}

/// One viewing session, opened: its own copy of each image.
#[pyclass(frozen, module = "chatpic")]
pub(crate) struct View {
    core: Core,
    home: Home,
    share: ShareId,
    secret: SessionToken,
    /// The session ID, 8 hex digits, drawn on every image.
    #[pyo3(get)]
    session: String,
    /// When it ends unless it is used again.
    #[pyo3(get)]
    ends_at: SystemTime,
    /// Views granted before it.
    #[pyo3(get)]
    views_before: u32,
    /// Views still to be had; None without a limit.
    #[pyo3(get)]
    views_left: Option<u32>,
    /// What there is to see.
    #[pyo3(get)]
    images: Vec<ImageInfo>,
}

impl View {
    fn core(&self) -> Result<Core, Failure> {
        self.home.check().map(|()| self.core.clone())
    }
}

#[pymethods]
impl View {
    /// What proves the session; with it `ChatPic.resume` goes on later.
    #[getter]
    fn token(&self) -> String {
        self.secret.reveal()
    }

    /// The session's own marked copy of image `index`, a file of the `media_type` that `images` tells; `width` is
    /// rounded up to 640, 1280 or the full width. The same session, image and width give the same bytes.
    #[pyo3(signature = (index, width = None))]
    fn image(&self, py: Python<'_>, index: Index, width: Option<u32>) -> PyResult<Bytes> {
        wait(py, image(self.core()?, self.share, self.secret.clone(), index.0, width))
    }

    /// `image`, to be awaited.
    #[pyo3(signature = (index, width = None))]
    async fn image_async(&self, index: Index, width: Option<u32>) -> PyResult<Bytes> {
        spawn(image(self.core()?, self.share, self.secret.clone(), index.0, width)).await
    }
}

fn policy(
    expires_in: Option<Span>,
    max_views: Option<MaxViews>,
    password: Option<String>,
    keep_ledger: Option<Span>,
) -> AccessPolicy {
    AccessPolicy {
        expires_in: expires_in.map(|span| span.0),
        max_views: max_views.map(|limit| limit.0),
        password: password.map(|text| Password::new(&text)),
        keep_ledger: keep_ledger.map(|span| span.0),
    }
}

fn opening(
    password: Option<String>,
    country: Option<Where>,
    user_agent: Option<String>,
    address: String,
    nonce: Option<Vec<u8>>,
) -> Opening {
    Opening {
        password: password.map(|text| Password::new(&text)),
        nonce,
        address,
        country: country.and_then(|place| place.0),
        device: user_agent.as_deref().map(Device::from_user_agent).unwrap_or_default(),
    }
}

async fn open(
    data: PathBuf,
    database: Option<String>,
    blobs: Option<String>,
    secret: Option<Secret>,
    ways: Ways,
) -> Result<ChatPic, Failure> {
    let (secret, secret_file) = match secret {
        Some(Secret::Bytes(bytes)) => (Some(InstallationSecret::from_bytes(bytes)), None),
        Some(Secret::File(path)) => (None, Some(path)),
        None => (None, None),
    };
    let place = Place { data, database, blobs, secret_file };
    build(place.builder(secret).await?, ways).await
}

async fn build(builder: chatpic_core::Builder, ways: Ways) -> Result<ChatPic, Failure> {
    let mark = ways.visible_mark.then(VisibleMark::default);
    let builder = builder.limits(default_limits()).visible_mark(mark).sweep_every(ways.sweep_every);
    Ok(ChatPic { core: Mutex::new(Some(builder.build().await?)), home: Home::here() })
}

async fn close(core: Option<Core>) -> Result<(), Failure> {
    if let Some(core) = core {
        core.flush().await?;
    }
    Ok(())
}

async fn create(
    core: Core,
    images: Vec<ImageFile>,
    policy: AccessPolicy,
    idempotency_key: Option<String>,
) -> Result<Share, Failure> {
    policy.check(core.limits()).map_err(chatpic_core::Error::from)?;
    let mut upload = core.upload(idempotency_key.as_deref())?;
    for image in images {
        let added = match image.read(core.limits().image_bytes).await {
            Ok(bytes) => upload.add(bytes).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = added {
            upload.abort().await;
            return Err(failure);
        }
    }
    Ok(upload.commit(policy).await?.into())
}

async fn cover(core: Core, id: ShareId) -> Result<Cover, Failure> {
    Ok(core.cover(&id).await?.into())
}

fn opened(core: Core, share: ShareId, opened: Opened) -> View {
    View {
        home: Home::here(),
        share,
        secret: opened.token,
        session: opened.session.to_string(),
        ends_at: instant(opened.ends_at),
        views_before: opened.views_before,
        views_left: opened.views_left,
        images: images(&opened.images),
        core,
    }
}

async fn view(core: Core, id: ShareId, key: LinkKey, opening: Opening) -> Result<View, Failure> {
    let access = core.link_access(&id, &key);
    let session = core.open(&id, &access, opening).await?;
    Ok(opened(core, id, session))
}

async fn resume(core: Core, share: ShareId, secret: SessionToken) -> Result<View, Failure> {
    let current = core.current(&share, &secret).await?;
    Ok(View {
        home: Home::here(),
        share,
        secret,
        session: current.session.to_string(),
        ends_at: instant(core.now() + Duration::from_secs(current.seconds_left)),
        views_before: current.views_before,
        views_left: current.views_left,
        images: images(&current.images),
        core,
    })
}

async fn image(
    core: Core,
    share: ShareId,
    secret: SessionToken,
    index: usize,
    width: Option<u32>,
) -> Result<Bytes, Failure> {
    Ok(core.image(&share, &secret, index, width).await?.bytes)
}

async fn preview(core: Core, id: ShareId, key: DashboardKey) -> Result<View, Failure> {
    let session = core.preview(&id, &core.dashboard_access(&id, &key)).await?;
    Ok(opened(core, id, session))
}

async fn dashboard(
    core: Core,
    id: ShareId,
    key: DashboardKey,
    after: Option<Cursor>,
) -> Result<Dashboard, Failure> {
    Ok(core.dashboard(&id, &core.dashboard_access(&id, &key), after).await?.into())
}

async fn extend(core: Core, id: ShareId, key: DashboardKey, by: Duration) -> Result<SystemTime, Failure> {
    Ok(instant(core.extend(&id, &core.dashboard_access(&id, &key), by).await?))
}

async fn set_ledger(
    core: Core,
    id: ShareId,
    key: DashboardKey,
    keep: Duration,
) -> Result<SystemTime, Failure> {
    Ok(instant(core.keep_ledger(&id, &core.dashboard_access(&id, &key), keep).await?))
}

async fn burn(core: Core, id: ShareId, key: DashboardKey) -> Result<Receipt, Failure> {
    let receipt = core.burn(&id, &core.dashboard_access(&id, &key)).await?;
    // It destroys the keys before anything else, or fails.
    Ok(Receipt::new(&receipt, true))
}

async fn trace(
    core: Core,
    id: ShareId,
    key: DashboardKey,
    leaked: ImageFile,
    original: Option<ImageFile>,
) -> Result<TraceReport, Failure> {
    let cap = core.limits().image_bytes;
    let leaked = leaked.read(cap).await?;
    let original = match original {
        Some(original) => Some(original.read(cap).await?),
        None => None,
    };
    Ok(core.trace(&id, &core.dashboard_access(&id, &key), leaked, original).await?.into())
}

async fn sweep(core: Core) -> Result<Swept, Failure> {
    Ok(core.sweep().await?.into())
}
