//! The `filesystem.Filesystem` service: from messages to the domain and back.

use std::path::PathBuf;
use std::sync::Arc;

use connectrpc::{ConnectError, RequestContext, Response, ServiceRequest, ServiceResult, ServiceStream};

use super::{change, entry, list};
use crate::defaults::SharedDefaults;
use crate::fault::Outcome;
use crate::paths;
use crate::proto::filesystem::{
    CreateWatcherRequest, CreateWatcherResponse, Filesystem, GetWatcherEventsRequest, GetWatcherEventsResponse,
    ListDirRequest, ListDirResponse, MakeDirRequest, MakeDirResponse, MoveRequest, MoveResponse, RemoveRequest,
    RemoveResponse, RemoveWatcherRequest, RemoveWatcherResponse, StatRequest, StatResponse, WatchDirRequest,
    WatchDirResponse,
};
use crate::users::{self, Names, User};

pub struct Service {
    defaults: Arc<SharedDefaults>,
}

impl Service {
    pub fn new(defaults: Arc<SharedDefaults>) -> Self {
        Self { defaults }
    }

    async fn user(&self, context: &RequestContext) -> Outcome<Arc<User>> {
        let name = users::requested(context.headers())?.unwrap_or_else(|| self.defaults.user());
        users::blocking(move || users::resolve(&name)).await
    }

    /// Runs `work` on the path with the rights of the caller's user.
    async fn on_path<T: Send + 'static>(
        &self,
        context: &RequestContext,
        path: &str,
        work: impl FnOnce(PathBuf) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let user = self.user(context).await?;
        let path = paths::resolve("path", path, &user)?;
        users::run_as(&user, move || work(path)).await
    }
}

#[expect(refining_impl_trait, reason = "plain messages: nobody else implements the generated trait")]
impl Filesystem for Service {
    async fn stat(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, StatRequest>,
    ) -> ServiceResult<StatResponse> {
        let entry = self.on_path(&context, request.path, |path| entry::entry(&path, &Names::load())).await?;
        Response::ok(StatResponse { entry: entry.into(), ..StatResponse::default() })
    }

    async fn make_dir(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, MakeDirRequest>,
    ) -> ServiceResult<MakeDirResponse> {
        let entry = self.on_path(&context, request.path, |path| change::make_dir(&path)).await?;
        Response::ok(MakeDirResponse { entry: entry.into(), ..MakeDirResponse::default() })
    }

    async fn r#move(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, MoveRequest>,
    ) -> ServiceResult<MoveResponse> {
        let user = self.user(&context).await?;
        let source = paths::resolve("source", request.source, &user)?;
        let destination = paths::resolve("destination", request.destination, &user)?;
        let entry = users::run_as(&user, move || change::rename(&source, &destination)).await?;
        Response::ok(MoveResponse { entry: entry.into(), ..MoveResponse::default() })
    }

    async fn list_dir(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, ListDirRequest>,
    ) -> ServiceResult<ListDirResponse> {
        let depth = request.depth;
        let entries = self.on_path(&context, request.path, move |path| list::list(&path, depth)).await?;
        Response::ok(ListDirResponse { entries, ..ListDirResponse::default() })
    }

    async fn remove(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, RemoveRequest>,
    ) -> ServiceResult<RemoveResponse> {
        self.on_path(&context, request.path, |path| change::remove(&path)).await?;
        Response::ok(RemoveResponse::default())
    }

    async fn watch_dir(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, WatchDirRequest>,
    ) -> ServiceResult<ServiceStream<WatchDirResponse>> {
        Err(ConnectError::unimplemented("WatchDir: not supported yet"))
    }

    async fn create_watcher(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, CreateWatcherRequest>,
    ) -> ServiceResult<CreateWatcherResponse> {
        Err(ConnectError::unimplemented("CreateWatcher: not supported yet"))
    }

    async fn get_watcher_events(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, GetWatcherEventsRequest>,
    ) -> ServiceResult<GetWatcherEventsResponse> {
        Err(ConnectError::unimplemented("GetWatcherEvents: not supported yet"))
    }

    async fn remove_watcher(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, RemoveWatcherRequest>,
    ) -> ServiceResult<RemoveWatcherResponse> {
        Err(ConnectError::unimplemented("RemoveWatcher: not supported yet"))
    }
}
