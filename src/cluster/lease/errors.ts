import { LtxdError } from '../../util/errors.ts'

/** The lease service does not answer, or rejects requests: the lease can be neither renewed nor acquired. */
export class LeaseUnavailableError extends LtxdError {
  constructor(message: string, options?: ErrorOptions) {
    super('LEASE_UNAVAILABLE', message, 1, options)
  }
}

/** The lease's key has a value that ltxd did not write. It is never overwritten. */
export class ForeignRecordError extends LtxdError {
  constructor(place: string, problem: string, options?: ErrorOptions) {
    super(
      'LEASE_FOREIGN',
      `${place} holds no lease record of ltxd (${problem}): choose another lease.consul.key, or delete that key`,
      1,
      options,
    )
  }
}

/** The lease belongs to another cluster than this node's data. */
export class ClusterMismatchError extends LtxdError {
  constructor(found: string, own: string) {
    super(
      'CLUSTER_MISMATCH',
      `the lease belongs to cluster ${found}, this node's data to cluster ${own}, so it neither leads nor follows: ` +
        `join the right cluster with lease.consul.key. If an empty node has founded cluster ${found} by mistake, stop ` +
        'it, and delete that key and those below it. To join it, start with an empty data directory',
    )
  }
}

/** This node would write a record that no node could read, itself included. */
export class UnreadableRecordError extends LtxdError {
  constructor(problem: string) {
    super('LEASE_UNREADABLE', `the lease is not written, because no node could read this node's record (${problem})`)
  }
}
