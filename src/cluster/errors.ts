import { LtxdError } from '../util/errors.ts'

/** The handoff did not happen, and this node continues in its role. */
export class HandoffError extends LtxdError {
  constructor(code: 'HANDOFF_REFUSED' | 'HANDOFF_FAILED', message: string, options?: ErrorOptions) {
    super(code, message, 1, options)
  }
}
