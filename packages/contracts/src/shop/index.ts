/** The shop's events, one file per owning service. Services share these, and nothing else. */
import { createCatalogue } from '../catalogue.ts';
import { PointsEarned } from './loyalty.ts';
import { NotificationSent } from './notification.ts';
import { OrderCancelled, OrderCompleted, OrderPlaced } from './order.ts';
import { PaymentApproved, PaymentDeclined } from './payment.ts';
import { UserCreated } from './user.ts';

export { NotificationSent, OrderCancelled, OrderCompleted, OrderPlaced };
export { PaymentApproved, PaymentDeclined, PointsEarned, UserCreated };
export { toCents, totalOf } from './money.ts';

export const shopCatalogue = createCatalogue([
  UserCreated,
  OrderPlaced,
  OrderCompleted,
  OrderCancelled,
  PaymentApproved,
  PaymentDeclined,
  PointsEarned,
  NotificationSent,
]);
