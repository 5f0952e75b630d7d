/** Shared by the functions: which stores they may use, and when to stop. */

import { LtxdError } from '../../src/util/errors.ts'
import { BACKUP_STORE, storesOfEnvironment } from '../store-definitions.ts'
import { Stores } from '../stores.ts'

/** The part of AWS Lambda's context that ltxd uses. */
export interface LambdaContext {
  getRemainingTimeInMillis(): number
}

/** A function's environment is incomplete or wrong. */
export class EnvironmentError extends LtxdError {
  constructor(problem: string) {
    super('FUNCTION_ENVIRONMENT', `${problem}; see serverless.yml`, 2)
  }
}

/**
 * The only stores that a function may use: LTXD_BACKUP_URL, named "backup", and those of LTXD_STORES. Throws
 * EnvironmentError, UsageError, StoreUrlError.
 */
export function configuredStores(environment: NodeJS.ProcessEnv = process.env): Stores {
  const url = environment.LTXD_BACKUP_URL
  if (url === undefined || url === '')
    throw new EnvironmentError('LTXD_BACKUP_URL, the address of the backup, is not set')
  return new Stores([{ name: BACKUP_STORE, url }, ...storesOfEnvironment(environment)])
}

/** A whole number from the environment, or the fallback where it is not set. Throws EnvironmentError. */
export function numberFrom(name: string, fallback: number, environment: NodeJS.ProcessEnv = process.env): number {
  const text = environment[name]
  if (text === undefined || text === '') return fallback
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0) return value
  throw new EnvironmentError(`${name} is "${text}", expected a whole number`)
}

/** Running work must end before Lambda freezes the process. */
const MARGIN_MS = 5000

/** A signal that is aborted shortly before the function's time is up. */
export function timeLimit(context: LambdaContext | undefined): AbortSignal {
  if (context === undefined) return new AbortController().signal
  return AbortSignal.timeout(Math.max(1, context.getRemainingTimeInMillis() - MARGIN_MS))
}
