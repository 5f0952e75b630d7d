import { withoutSecrets } from '../../util/sent-secrets.ts'

/** What is written to the stream shows no secret that this process sends to a server. */
export function hideSecrets(stream: Pick<NodeJS.WriteStream, 'write'>): void {
  const write = stream.write.bind(stream) as (chunk: unknown, ...rest: unknown[]) => boolean
  stream.write = (chunk: unknown, ...rest: unknown[]) =>
    write(typeof chunk === 'string' ? withoutSecrets(chunk) : chunk, ...rest)
}
