/** Amazon's SDK as it is used here. It is loaded on the first call: whoever only opens a store does not wait for it. */

import type { S3, S3ClientConfig } from '@aws-sdk/client-s3'
import type { S3Address } from './url.ts'

/** The first try included; with the SDK's pauses in between, well under a second in all when the store answers. */
const MAX_ATTEMPTS = 4
const CONNECTION_TIMEOUT_MS = 10_000
/** Nothing sent and nothing received for so long. Finishing a large upload may keep a server busy for a while. */
const IDLE_TIMEOUT_MS = 60_000
/** Where neither the URL nor the environment names one; servers other than Amazon's rarely care. */
const DEFAULT_REGION = 'us-east-1'

/** Loads the SDK: half a second in which nothing else happens, and which may come at a better time than the first call. */
export async function loadSdk(): Promise<void> {
  await import('@aws-sdk/client-s3')
}

/** Credentials come the SDK's usual way: environment, profile, role. `extra` is for what tests need besides. */
export async function createClient(address: S3Address, extra: S3ClientConfig = {}): Promise<S3> {
  const { S3 } = await import('@aws-sdk/client-s3')
  return withoutVersionNotice(() => new S3({ ...clientConfig(address), ...extra }))
}

function clientConfig({ endpoint, region, forcePathStyle }: S3Address): S3ClientConfig {
  const environment = process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION
  const chosen = region ?? environment ?? (endpoint === undefined ? undefined : DEFAULT_REGION)
  // A merge holds as many streams open as it has inputs: with fewer sockets it would wait for itself.
  const agent = { keepAlive: true, maxSockets: Infinity }
  return {
    ...(chosen === undefined ? {} : { region: chosen }),
    ...(endpoint === undefined
      ? { followRegionRedirects: true }
      : {
          endpoint,
          // Not every server takes the checksums in trailers that Amazon's SDK adds by itself.
          requestChecksumCalculation: 'WHEN_REQUIRED' as const,
          responseChecksumValidation: 'WHEN_REQUIRED' as const,
        }),
    forcePathStyle,
    retryMode: 'standard',
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      socketTimeout: IDLE_TIMEOUT_MS,
      httpAgent: agent,
      httpsAgent: agent,
    },
  }
}

/**
 * The SDK says on stderr that its later versions will want a later Node.js. That is for those who build ltxd, not for
 * those who run it. The environment stays as it was: a supervised application inherits it.
 */
function withoutVersionNotice<T>(create: () => T): T {
  const name = 'AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'
  const before = process.env[name]
  process.env[name] = 'true'
  try {
    return create()
  } finally {
    if (before === undefined) delete process.env[name]
    else process.env[name] = before
  }
}
