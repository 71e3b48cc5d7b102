//! Traces of calls and of the requests behind them, as OpenTelemetry has them.
//!
//! Off unless the environment names a collector, and then nothing is made and a call costs nothing more. The SDK reads its
//! standard variables by itself. A span tells no more than the metrics do: tools, codes, statuses and buckets, and never an
//! id, an argument or an address. The trace of a caller is joined by `traceparent`; Ironclad is told nothing of it.

use std::{collections::HashMap, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{FutureExt as _, Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider, Span},
};

/// The W3C's names of what joins a trace, in a header as in `_meta`.
pub const TRACEPARENT: &str = "traceparent";
/// The same for what vendors add.
pub const TRACESTATE: &str = "tracestate";

/// How long the last spans may take to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Where spans go; clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Live>);

#[derive(Debug, Clone)]
struct Live {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Traces to the collector that the environment names.
    ///
    /// # Errors
    /// The variables name no endpoint that can be used, or a protocol other than OTLP over HTTP.
    pub fn start() -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder().with_http().build()?;
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
        let tracer = provider.tracer("ironclad-mcp");
        Ok(Self(Some(Live { provider, tracer })))
    }

    /// Sends what is left; blocks for 2 s at most.
    pub fn end(&self) {
        let Some(live) = &self.0 else { return };
        if let Err(error) = live.provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }

    /// Runs a call in the trace that its caller brings, if it brings one and traces are on.
    pub async fn joined<T>(&self, brought: impl Fn(&str) -> Option<String>, call: impl Future<Output = T>) -> T {
        if self.0.is_none() {
            return call.await;
        }
        call.with_context(context(brought)).await
    }

    /// Begins the span of a call.
    pub fn call(&self, tool: &str) -> CallSpan {
        let Some(live) = &self.0 else { return CallSpan(None) };
        let parent = Context::current();
        let span = live.tracer.span_builder(format!("execute_tool {tool}")).with_kind(SpanKind::Server);
        let attributes = [("gen_ai.operation.name", "execute_tool".to_owned()), ("gen_ai.tool.name", tool.to_owned())];
        let span = span.with_attributes(attributes.map(|(name, value)| KeyValue::new(name, value)));
        let is_joined = parent.span().span_context().is_valid();
        let context = parent.with_span(span.start_with_context(&live.tracer, &parent));
        CallSpan(Some(Open { context, is_joined, code: "cancelled" }))
    }

    /// Begins the span of one request to Ironclad, below the call that it is for.
    pub fn request(&self, method: &'static str, bucket: &'static str) -> RequestSpan {
        RequestSpan(self.0.as_ref().map(|live| {
            let attributes = [KeyValue::new("http.request.method", method), KeyValue::new("ironclad.bucket", bucket)];
            let span = live.tracer.span_builder(method).with_kind(SpanKind::Client).with_attributes(attributes);
            span.start_with_context(&live.tracer, &Context::current())
        }))
    }
}

/// What the environment says of this program, which has a name if nothing is said.
fn resource() -> Resource {
    let told = Resource::builder().build();
    let name = told.get(&"service.name".into()).map(|name| name.to_string()).unwrap_or_default();
    if name.is_empty() || name.starts_with("unknown_service") {
        return Resource::builder().with_service_name("ironclad-mcp").build();
    }
    told
}

/// The context that a caller brings; an empty one where it brings none, or none that is sound.
fn context(brought: impl Fn(&str) -> Option<String>) -> Context {
    let named = [TRACEPARENT, TRACESTATE].into_iter().filter_map(|name| Some((name.to_owned(), brought(name)?)));
    let carrier: HashMap<String, String> = named.collect();
    TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
}

/// The span of one call. Dropped before its end was told, it was cancelled.
#[derive(Debug)]
#[must_use]
pub struct CallSpan(Option<Open>);

#[derive(Debug)]
struct Open {
    context: Context,
    is_joined: bool,
    code: &'static str,
}

impl CallSpan {
    /// Runs what belongs to the call, so that requests become spans below it.
    pub async fn around<T>(&self, call: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(open) => call.with_context(open.context.clone()).await,
            None => call.await,
        }
    }

    /// What the answer tells a caller who brought a trace: the span, as the W3C writes it.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let open = self.0.as_ref().filter(|open| open.is_joined)?;
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&open.context, &mut carrier);
        carrier.remove(TRACEPARENT)
    }

    /// The call ended with this code.
    pub fn ended(mut self, code: &'static str) {
        if let Some(open) = &mut self.0 {
            open.code = code;
        }
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        let Some(open) = &self.0 else { return };
        let span = open.context.span();
        span.set_attribute(KeyValue::new("ironclad.code", open.code));
        if !matches!(open.code, "ok" | "input_required") {
            span.set_attribute(KeyValue::new("error.type", open.code));
            span.set_status(Status::error(open.code));
        }
        span.end();
    }
}

/// The span of one request; it ends when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct RequestSpan(Option<Span>);

impl RequestSpan {
    /// The request was answered with this HTTP status.
    pub fn answered(&mut self, status: u16) {
        let Some(span) = &mut self.0 else { return };
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 400 {
            span.set_attribute(KeyValue::new("error.type", status.to_string()));
            span.set_status(Status::error(""));
        }
    }

    /// The request brought no answer, for this reason.
    pub fn failed(&mut self, why: &'static str) {
        let Some(span) = &mut self.0 else { return };
        span.set_attribute(KeyValue::new("error.type", why));
        span.set_status(Status::error(why));
    }
}
