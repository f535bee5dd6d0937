//! (in work)
pub trait JobExecutor {}
pub struct JobRunner;
pub struct StartJob;
pub struct WaitFor;
