import { InvalidArgumentError, Option } from 'commander'

/** `-o FILE` of the commands that write a file. */
export function outputOption(description: string): Option {
  return new Option('-o, --output <file>', description).argParser((file: string) => {
    if (file !== '-') return file
    throw new InvalidArgumentError('The output appears when it is complete, so it cannot be a pipe: name a file.')
  })
}
