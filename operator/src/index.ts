/** What embeds the operator (scripts, benchmarks, tests) needs. The process is main.ts. */
export { connectBroker } from './brokers/client.ts';
export type { BrokerClient, ConnectBroker } from './brokers/client.ts';
export * from './errors.ts';
export { FolderSource } from './folder/folder-source.ts';
export type { FolderSourceOptions } from './folder/folder-source.ts';
export { brokerType, KubernetesSource, subscriptionType } from './kubernetes/kubernetes-source.ts';
export type { KubernetesSourceOptions } from './kubernetes/kubernetes-source.ts';
export { createLog } from './log.ts';
export { createOperator } from './operator.ts';
export type { Operator, OperatorOptions } from './operator.ts';
export * from './resources.ts';
export { readValidators } from './validation/definitions.ts';
export type { Collection, ResourceSource, SecretRef, StoryEvent } from './source.ts';
export { validateFiles } from './validate.ts';
export { loadValidators } from './validation/crd.ts';
export type { KindValidator } from './validation/crd.ts';
