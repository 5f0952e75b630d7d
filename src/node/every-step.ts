/**
 * Takes the steps in order, each also where one before it has failed: what a node has started ends whatever else
 * happens. Then throws the first error.
 */
export async function everyStep(steps: readonly (() => unknown)[]): Promise<void> {
  const errors: Error[] = []
  for (const step of steps) {
    try {
      await step()
    } catch (error) {
      errors.push(error instanceof Error ? error : new Error(String(error)))
    }
  }
  if (errors[0] !== undefined) throw errors[0]
}
