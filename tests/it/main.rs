//! Everything that needs more than pure code: a real MCP client against the server, the simulator behind it.

#[cfg(test)]
mod agents;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod audit_search;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod cancellation;
#[cfg(test)]
mod completion;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod floors;
#[cfg(test)]
mod form_launches;
#[cfg(test)]
mod form_snapshots;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod holds;
#[cfg(test)]
mod house;
#[cfg(test)]
mod http_bounds;
#[cfg(test)]
mod http_direct;
#[cfg(test)]
mod http_places;
#[cfg(test)]
mod http_sessions;
#[cfg(test)]
mod ids;
#[cfg(test)]
mod launch;
#[cfg(test)]
mod launch_documents;
#[cfg(test)]
mod launch_tools;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod long_lists;
#[cfg(test)]
mod oauth_callers;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod progress;
#[cfg(test)]
mod prompts;
#[cfg(test)]
mod queueing;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod records;
#[cfg(test)]
mod redirects;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod untrusted;
#[cfg(test)]
mod updates;
#[cfg(test)]
mod ways;
