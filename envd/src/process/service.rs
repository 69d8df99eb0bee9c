//! The `process.Process` service: from messages to the domain and back.

use std::sync::Arc;

use connectrpc::{InboundStream, RequestContext, Response, ServiceRequest, ServiceResult, ServiceStream};
use futures_util::StreamExt;

use super::request::plan;
use super::source::{PerSource, Source};
use super::stream::{View, events};
use super::supervisor;
use super::table::Table;
use super::terminal::Size;
use crate::defaults::SharedDefaults;
use crate::extensions;
use crate::fault::{Fault, Outcome};
use crate::proto::process::process_input::Input;
use crate::proto::process::stream_input_request::Event as InputEvent;
use crate::proto::process::{
    CloseStdinRequest, CloseStdinResponse, ConnectRequest, ConnectResponse, ListRequest, ListResponse, OutputOffsets,
    Process, ProcessInput, SendInputRequest, SendInputResponse, SendSignalRequest, SendSignalResponse, StartRequest,
    StartResponse, StreamInputRequest, StreamInputResponse, UpdateRequest, UpdateResponse,
};
use crate::users;

/// Answers for the processes of one table. Those belong to no client: who may call at all may reach each of them.
pub struct Service {
    table: Arc<Table>,
    defaults: Arc<SharedDefaults>,
}

impl Service {
    /// `defaults` completes each `Start`, as it is at that time.
    pub fn new(table: Arc<Table>, defaults: Arc<SharedDefaults>) -> Self {
        Self { table, defaults }
    }
}

#[expect(refining_impl_trait, reason = "plain messages: nobody else implements the generated trait")]
impl Process for Service {
    async fn list(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, ListRequest>,
    ) -> ServiceResult<ListResponse> {
        let extensions = extensions::wanted(context.headers());
        let mut processes = self.table.list();
        if extensions && request.to_owned_message().include_ended {
            processes.extend(self.table.list_ended());
        }
        let processes = processes.iter().map(|process| process.info(extensions)).collect();
        Response::ok(ListResponse { processes, ..ListResponse::default() })
    }

    async fn connect(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, ConnectRequest>,
    ) -> ServiceResult<ServiceStream<ConnectResponse>> {
        let request = request.to_owned_message();
        let process = self.table.find(request.process.as_option())?;
        // The time of this request is not that of the process, which somebody else has started.
        let deadline = context.deadline().map(Into::into);
        let view = View { deadline, ..View::requested(context.headers()) };
        let from = request.from.as_option().filter(|_| view.extensions).map(positions).unwrap_or_default();
        let reader = process.output.follow(&from, view.extensions)?;
        Response::stream_ok(
            events(process.pid, reader, view)
                .map(|event| event.map(|event| ConnectResponse { event: event.into(), ..ConnectResponse::default() })),
        )
    }

    async fn start(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, StartRequest>,
    ) -> ServiceResult<ServiceStream<StartResponse>> {
        let request = request.to_owned_message();
        let user = users::requested(context.headers())?;
        let defaults = self.defaults.get();
        let deadline = context.deadline().map(Into::into);
        let make = move || plan(request, user, defaults);
        let (process, reader) = supervisor::start(Arc::clone(&self.table), make, deadline).await?;
        Response::stream_ok(
            events(process.pid, reader, View::requested(context.headers()))
                .map(|event| event.map(|event| StartResponse { event: event.into(), ..StartResponse::default() })),
        )
    }

    async fn update(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, UpdateRequest>,
    ) -> ServiceResult<UpdateResponse> {
        let request = request.to_owned_message();
        let process = self.table.find(request.process.as_option())?;
        let Some(pty) = request.pty.as_option() else {
            return Err(Fault::invalid("pty: must be set").into());
        };
        process.input.resize(Size::requested(pty)?).await?;
        Response::ok(UpdateResponse::default())
    }

    async fn stream_input(
        &self,
        _: RequestContext,
        mut requests: InboundStream<StreamInputRequest>,
    ) -> ServiceResult<StreamInputResponse> {
        let first = requests.next().await.transpose()?.and_then(|message| message.to_owned_message().event);
        let Some(InputEvent::Start(start)) = first else {
            return Err(Fault::invalid("start: must be the first message").into());
        };
        let process = self.table.find(start.process.as_option())?;
        while let Some(message) = requests.next().await.transpose()? {
            match message.to_owned_message().event {
                Some(InputEvent::Data(data)) => process.input.write(&input(data.input.into_option())?).await?,
                Some(InputEvent::Keepalive(_)) => {}
                Some(InputEvent::Start(_)) => return Err(Fault::invalid("start: must come once").into()),
                None => return Err(Fault::invalid("event: must be set").into()),
            }
        }
        Response::ok(StreamInputResponse::default())
    }

    async fn send_input(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, SendInputRequest>,
    ) -> ServiceResult<SendInputResponse> {
        let request = request.to_owned_message();
        let process = self.table.find(request.process.as_option())?;
        process.input.write(&input(request.input.into_option())?).await?;
        Response::ok(SendInputResponse::default())
    }

    async fn send_signal(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, SendSignalRequest>,
    ) -> ServiceResult<SendSignalResponse> {
        let request = request.to_owned_message();
        let process = self.table.find(request.process.as_option())?;
        let signal = request.signal.to_i32();
        if signal < 1 {
            return Err(Fault::invalid("signal: must be a signal's number").into());
        }
        process.input.in_turn(|| process.signal(signal)).await?;
        Response::ok(SendSignalResponse::default())
    }

    async fn close_stdin(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, CloseStdinRequest>,
    ) -> ServiceResult<CloseStdinResponse> {
        let request = request.to_owned_message();
        let process = self.table.find(request.process.as_option())?;
        process.input.close().await?;
        Response::ok(CloseStdinResponse::default())
    }
}

fn input(input: Option<ProcessInput>) -> Outcome<Input> {
    input.and_then(|input| input.input).ok_or_else(|| Fault::invalid("input: must be set"))
}

fn positions(from: &OutputOffsets) -> PerSource<Option<u64>> {
    PerSource::build(|source| match source {
        Source::Stdout => from.stdout,
        Source::Stderr => from.stderr,
        Source::Pty => from.pty,
    })
}
