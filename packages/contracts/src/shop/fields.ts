/** Fields that the shop's events share. */
import { z } from 'zod';

/** An identifier of ours or of a client. */
export const id = (description: string): z.ZodString => z.string().min(1).max(200).describe(description);

/** Money in major units, at most two decimals; compute in integer cents, see `money.ts`. */
export const amount = (description: string): z.ZodNumber =>
  z.number().nonnegative().multipleOf(0.01).describe(description);

export const currency = z
  .string()
  .regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as EUR')
  .describe('ISO 4217 code');

export const orderLine = z.looseObject({
  sku: id('What was ordered'),
  quantity: z.int().positive().describe('How many'),
  unitPrice: amount('Price of one'),
});
