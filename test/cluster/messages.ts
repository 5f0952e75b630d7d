/** Messages between a test and the writers beside its nodes. */
export type ToWriter = 'pause' | 'resume'
export type FromWriter = 'paused'
