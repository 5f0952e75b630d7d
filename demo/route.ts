/** Where a trader sends its next order. */
export interface Route {
  readonly url: string
  /** The exchange there takes no orders, and named who does, if it knows. */
  redirected(to: string | undefined): void
  /** No answer came from there, or none that helps. */
  failed(): void
}

/** There is one exchange; who fails there tries again there. */
export function onlyTo(url: string): Route {
  return { url, redirected: () => undefined, failed: () => undefined }
}
