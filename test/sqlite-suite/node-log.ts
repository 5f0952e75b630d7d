/** What a node's log says of errors, by the script whose directory the line names. */
export type Alarms = Map<string, Set<string>>

/** For lines that name no script's directory. */
export const NODE = '(node)'

/** A line of errors: time, level, message, fields. A rejection is an answer, and the script's checks show it. */
const ERROR = /^\S+ (?:error|fatal) +(.*)$/
const REJECTION = /\brejected\b/
const PLACE = /\b(?:database|file)="?([^/"\s]+(?:\/[^/"\s]+)??)\/testdir\//

/** Collects the messages of errors, without their fields, so that a message stands for all of its kind. */
export function collectAlarms(log: string, into: Alarms): void {
  for (const line of log.split('\n')) {
    const [, text] = ERROR.exec(line) ?? []
    if (text === undefined || REJECTION.test(text)) continue
    addAlarm(into, PLACE.exec(text)?.[1] ?? NODE, text.replace(/ [\w.]+=.*$/, ''))
  }
}

export function addAlarm(into: Alarms, script: string, message: string): void {
  const known = into.get(script)
  if (known === undefined) into.set(script, new Set([message]))
  else known.add(message)
}
