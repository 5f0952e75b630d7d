/** A difference that nothing explains. */
export class Finding extends Error {
  /** What a shorter program must show as well. */
  readonly kind: string
  readonly details: string
  at = ''
  /** What findings with one cause may have in common. */
  signature = ''

  constructor(kind: string, details: string) {
    super(`${kind}: ${details}`)
    this.kind = kind
    this.details = details
  }

  /** A failure of the machinery is a finding as well: a command that hangs, a log that cannot be read. */
  static of(error: unknown): Finding {
    if (error instanceof Finding) return error
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return new Finding(error instanceof Error ? error.name : 'thrown', message)
  }

  get text(): string {
    return `${this.kind} ${this.at}\n  ${this.details.replaceAll('\n', '\n  ')}`
  }
}
