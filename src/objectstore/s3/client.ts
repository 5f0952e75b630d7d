/** Amazon's SDK, loaded on the first call: merely opening a store does not wait for it. */

import type { S3, S3ClientConfig } from '@aws-sdk/client-s3'
import { rememberSecret } from '../../util/sent-secrets.ts'
import { type Answer, boundAnswer } from './bounded.ts'
import { rejectWebPage } from './proof.ts'
import type { S3Address } from './url.ts'

/** Includes the first attempt. With the SDK's pauses, all attempts take well under a second when the store answers. */
const MAX_ATTEMPTS = 4
const CONNECTION_TIMEOUT_MS = 10_000
/** How long a connection may be idle. Completing a large upload can keep a server busy for a while. */
const IDLE_TIMEOUT_MS = 60_000
/** Used where neither the URL nor the environment names a region. Servers other than Amazon's rarely care. */
const DEFAULT_REGION = 'us-east-1'

/** Loads the SDK. This blocks for half a second, so callers can choose a better time than the first call. */
export async function loadSdk(): Promise<void> {
  await import('@aws-sdk/client-s3')
}

/**
 * Credentials come the SDK's usual way: environment, profile, role. `extra` adds options that tests need. `answered`
 * is called with the Date header of each answer.
 */
export async function createClient(
  address: S3Address,
  extra: S3ClientConfig = {},
  answered?: (date: string | undefined) => void,
): Promise<S3> {
  const { S3 } = await import('@aws-sdk/client-s3')
  const client = withoutVersionNotice(() => new S3({ ...clientConfig(address), ...extra }))
  // The last step before the connection, so that the request is signed.
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (call) => {
        rememberCredentials(call.request)
        const result = await next(call)
        const answer = result.response as Answer
        rejectWebPage(answer)
        boundAnswer(answer, commandName === 'GetObjectCommand')
        answered?.((answer as { readonly headers?: { readonly date?: string } }).headers?.date)
        return result
      },
    { step: 'deserialize', priority: 'low' },
  )
  return client
}

/** Of a signed request. The secret key is not in it. */
function rememberCredentials(request: unknown): void {
  const { headers = {} } = request as { readonly headers?: Readonly<Record<string, string | undefined>> }
  rememberSecret(headers['x-amz-security-token'])
  rememberSecret(/Credential=([^/,]+)/.exec(headers.authorization ?? '')?.[1])
}

function clientConfig({ endpoint, region, forcePathStyle }: S3Address): S3ClientConfig {
  const environment = process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION
  const chosen = region ?? environment ?? (endpoint === undefined ? undefined : DEFAULT_REGION)
  // A merge holds one stream open for each input: with fewer sockets it would wait for itself.
  const agent = { keepAlive: true, maxSockets: Infinity }
  return {
    ...(chosen === undefined ? {} : { region: chosen }),
    ...(endpoint === undefined
      ? { followRegionRedirects: true }
      : {
          endpoint,
          // Not every server accepts the checksum trailers that Amazon's SDK adds by default.
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
 * The SDK warns on stderr that later versions need a later Node.js. That concerns ltxd's developers, not its users.
 * The environment is restored, because a supervised application inherits it.
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
