import { LtxdError } from '../util/errors.ts'

/** The lease was not passed on; this node goes on as it was. */
export class HandoffError extends LtxdError {
  constructor(code: 'HANDOFF_REFUSED' | 'HANDOFF_FAILED', message: string, options?: ErrorOptions) {
    super(code, message, 1, options)
  }
}
