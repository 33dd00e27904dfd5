// Reads policies and cases on stdin, prints one word a case: allow, deny, or the word of a complaint.
import { runSimulation } from '@cloud-copilot/iam-simulate';

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { policies, cases } = JSON.parse(text);
const named = (numbers) => numbers.map((n) => ({ name: `policy-${n}`, policy: policies[n] }));
const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] };

for (const one of cases) {
  const contextVariables = {};
  for (const [key, values] of Object.entries(one.keys)) contextVariables[key] = values.length === 1 ? values[0] : values;
  const simulation = {
    request: {
      principal: one.principal,
      action: one.action,
      resource: { resource: one.resource, accountId: one.account },
      contextVariables,
    },
    identityPolicies: named(one.identity),
    serviceControlPolicies: one.scps.length
      ? [{ orgIdentifier: 'root', policies: [{ name: 'FullAWSAccess', policy: everything }, ...named(one.scps)] }]
      : [],
    resourceControlPolicies: [],
  };
  if (one.boundary !== null) simulation.permissionBoundaryPolicies = named([one.boundary]);
  if (one.resourcePolicy !== null) simulation.resourcePolicy = policies[one.resourcePolicy];
  const result = await runSimulation(simulation, {});
  if (result.resultType === 'error') console.log(result.errors.message);
  else console.log(result.overallResult === 'Allowed' ? 'allow' : 'deny');
}
