import { LtxdError } from '../../util/errors.ts'

/** The lease service does not answer, or refuses: the lease is neither renewed nor taken until it does. */
export class LeaseUnavailableError extends LtxdError {
  constructor(message: string, options?: ErrorOptions) {
    super('LEASE_UNAVAILABLE', message, 1, options)
  }
}

/** Where the lease record belongs lies something that ltxd did not write there. It is never overwritten. */
export class ForeignRecordError extends LtxdError {
  constructor(place: string, what: string, options?: ErrorOptions) {
    super(
      'LEASE_FOREIGN',
      `${place} holds no lease record of ltxd (${what}): choose another lease.consul.key, or delete that key`,
      1,
      options,
    )
  }
}

/** The cluster of the lease is not the one that this node's data belongs to. */
export class ClusterMismatchError extends LtxdError {
  constructor(found: string, own: string) {
    super(
      'CLUSTER_MISMATCH',
      `the lease belongs to cluster ${found}, this node's data to cluster ${own}: ` +
        'join the right cluster with lease.consul.key, or start with an empty data directory',
    )
  }
}
