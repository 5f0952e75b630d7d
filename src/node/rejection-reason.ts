import { isOutage } from '../backup/history/outage.ts'
import type { BackedUpDatabase } from '../backup/ship/boot.ts'
import { LTXError } from '../ltx/format/errors.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { errorCode, LtxdError } from '../util/errors.ts'

/** Errors of the process or the machine. Any other system error concerns the files ofone database. */
const OF_ALL = ['EMFILE', 'ENFILE', 'ENOMEM']

/** Why one database is not served. Throws what concerns all of them: the store as a whole, or the end of the start. */
export async function reasonOf(
  error: unknown,
  { store, signal }: { readonly store: ObjectStore; readonly signal: AbortSignal | undefined },
  listed: readonly BackedUpDatabase[],
): Promise<string> {
  const histories = listed.map(({ history }) => history)
  const ofStore = await isOutage(store, histories, error, signal)
  const ofOne = error instanceof LtxdError || error instanceof LTXError || isSystem(error)
  if (!ofOne || isOfAll(error) || ofStore || signal?.aborted === true) throw error
  return error.message
}

function isSystem(error: unknown): error is Error {
  return error instanceof Error && /^E[A-Z0-9]+$/.test(errorCode(error) ?? '')
}

/** Also as the cause of an OutputError. */
function isOfAll(error: Error): boolean {
  return [error, error.cause].some((one) => OF_ALL.includes(errorCode(one) ?? ''))
}
