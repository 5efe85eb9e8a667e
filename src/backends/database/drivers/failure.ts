import { asError, type DriverContext, type Parameter, type Statement } from '../driver.js'

/**
 * What a statement failed with. What was written into its text are values of the cache, which belong
 * in no log.
 */
export function failureOf(failure: unknown, statement: Statement, context: DriverContext): Error {
  const error = asError(failure)
  if ('sql' in error) error.sql = statement.sql
  return statement.isUnlimited ? error : context.explain(error)
}

/**
 * Where parameters are written into the text of the statement, text is escaped as the server may not
 * understand it (`NO_BACKSLASH_ESCAPES`); bytes are written in hexadecimal.
 */
export function withoutText(parameters: readonly Parameter[]): readonly Parameter[] {
  return parameters.map((one) => (typeof one === 'string' ? Buffer.from(one, 'latin1') : one))
}
