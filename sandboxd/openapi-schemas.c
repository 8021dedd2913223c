/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/openapi.h"

/* What the routes answer. Sorted by name; members as in the JSON, the ones that clients parse strictly first. */
const OpenapiSchema openapi_schemas[] = {
        { "Alert",           "id:string sandboxId:string metric:string threshold:number action:string triggered:boolean "
                             "createdAt:integer lastChecked?:integer lastTriggered?:integer" },
        { "AlertEvent",      "alertId:string sandboxId:string metric:string value:number threshold:number action:string "
                             "timestamp:integer" },
        { "AlertHistory",    "events:AlertEvent[] total:integer" },
        { "Alerts",          "alerts:Alert[]" },
        { "BackgroundExec",  "id:string sandboxId:string command:string running:boolean startedAt:integer pid?:integer "
                             "exitCode?:integer finishedAt?:integer oom?:boolean error?:string" },
        { "CellResult",      "output:string stderr:string error:string|null result:string|null executionTime:number "
                             "timedOut?:boolean" },
        { "Cleared",         "cleared:integer" },
        { "Closed",          "closed:string" },
        { "CodeResult",      "output:string error:string|null executionTime:number" },
        { "Command",         "id:string sandboxId:string command:string running:boolean startedAt:integer kind:string "
                             "pid?:integer exitCode?:integer finishedAt?:integer oom?:boolean error?:string" },
        { "Commands",        "commands:Command[]" },
        { "Connected",       "connected:boolean" },
        { "Context",         "id:string sandboxId:string language:string cwd:string status:string createdAt:integer" },
        { "Contexts",        "contexts:Context[]" },
        { "Deleted",         "deleted:string" },
        { "Deliveries",      "deliveries:Delivery[] total:integer" },
        { "Delivery",        "id:string webhookId:string eventId:string topic:string status:string attempts:integer "
                             "timestamp:integer duration:integer httpStatus?:integer error?:string" },
        { "Disconnected",    "disconnected:boolean" },
        { "Egress",          "mode:string allow:string[]|null counters?:EgressCounters recent?:EgressDecision[]" },
        { "EgressCounters",  "connectionsAllowed:integer packetsDenied:integer namesAllowed:integer namesDenied:integer "
                             "namesPrivate:integer" },
        { "EgressDecision",  "kind:string decision:string count:integer name?:string type?:integer time?:integer "
                             "address?:string protocol?:string port?:integer" },
        { "EgressList",      "allow:string[]" },
        { "Event",           "id:string topic:string sandboxId:string data:object timestamp:integer" },
        { "Events",          "events:Event[] total:integer" },
        { "ExecResult",      "exitCode:integer stdout:string stderr:string duration:number truncated?:boolean "
                             "timedOut?:boolean oom?:boolean error?:string" },
        { "ExecStreamChunk", "type:string data:string timestamp:integer encoding?:string dropped?:integer id?:string "
                             "pid?:integer signal?:integer timedOut?:boolean oom?:boolean" },
        { "FileEvent",       "type:string path:string isDirectory:boolean timestamp:integer from?:string" },
        { "FileInfo",        "name:string path:string size:integer isDirectory:boolean modifiedAt:integer" },
        { "FileMetadata",    "path:string size:integer permissions:string owner:string group:string isDirectory:boolean "
                             "isSymlink:boolean modifiedAt:integer target?:string" },
        { "FileWritten",     "success:boolean size:integer" },
        { "GitBranches",     "branches:string[] current:string" },
        { "GitCommit",       "hash:string message:string author:string date:string" },
        { "GitDiff",         "diff:string error?:string" },
        { "GitFile",         "status:string path:string" },
        { "GitLog",          "entries:GitCommit[] error?:string" },
        { "GitStatus",       "branch:string clean:boolean files:GitFile[] error?:string" },
        { "GlobalMetrics",   "activeSandboxes:integer totalCreated:integer totalKilled:integer totalExpired:integer "
                             "uptimeSeconds:integer createdWarm:integer createdBlank:integer createdCold:integer "
                             "totalLost:integer" },
        { "Health",          "status:string service?:string" },
        { "Image",           "name:string kind:string source:string usable:boolean" },
        { "Images",          "images:Image[]" },
        { "KernelSpec",      "name:string language:string displayName:string" },
        { "Killed",          "killed:integer signal:string" },
        { "LogEvent",        "type:string data:string timestamp:integer encoding?:string commandId?:string" },
        { "Migrated",        "migrated:integer" },
        { "Network",         "id:string name:string dockerNetworkId:string sandboxes:string[] createdAt:integer "
                             "driver:string addresses:map" },
        { "Networks",        "networks:Network[]" },
        { "ObservabilityMetrics", "totalRequests:integer totalErrors:integer avgDuration:number p95Duration:number "
                             "activeSandboxes:integer functionCounts:object" },
        { "Output",          "output:string cursor:integer encoding?:string dropped?:integer" },
        { "PackagesInstalled", "output:string" },
        { "Pool",            "total:integer ready:integer by_profile:object blank:object" },
        { "PortMapping",     "containerPort:integer hostPort:integer protocol:string state:string" },
        { "PortRemoved",     "removed:integer" },
        { "Ports",           "ports:PortMapping[]" },
        { "ProcessInfo",     "pid:integer user:string cpu:string memory:string command:string state:string" },
        { "ProcessTopInfo",  "pid:integer cpu:string mem:string vsz:integer rss:integer command:string" },
        { "Processes",       "processes:ProcessInfo[]" },
        { "ProcessesTop",    "processes:ProcessTopInfo[]" },
        { "ProxyConfig",     "sandboxId:string proxyBase:string cors:string requireAuth:boolean timeout:integer" },
        { "ProxyResponse",   "statusCode:integer headers:object body:string url:string" },
        { "ProxyUrl",        "url:string expiresAt:integer" },
        { "QueueCancelled",  "cancelled:string" },
        { "QueueJob",        "id:string sandboxId:string command:string status:string result?:QueueResult error?:string "
                             "retries:integer maxRetries:integer createdAt:integer startedAt?:integer "
                             "completedAt?:integer" },
        { "QueueJobs",       "jobs:QueueJob[] total:integer nextCursor?:integer" },
        { "QueuePurged",     "purged:integer remaining:integer" },
        { "QueueResult",     "exitCode:integer stdout?:string stderr?:string duration:integer truncated?:boolean "
                             "oom?:boolean error?:string" },
        { "Reaped",          "reaped:integer reassigned:integer expired:integer" },
        { "Sandbox",         "id:string name:string image:string status:string createdAt:integer expiresAt:integer "
                             "config:SandboxConfig metadata:map entrypoint?:string[] workerId?:string "
                             "metrics?:SandboxMetrics" },
        { "SandboxConfig",   "image:string name?:string timeout?:integer memory?:integer cpu?:number network?:boolean "
                             "egress?:EgressList env?:map secretEnv?:string[] workdir?:string metadata?:map entrypoint?:string[] pids?:integer "
                             "ioReadBps?:integer ioWriteBps?:integer" },
        { "SandboxList",     "items:Sandbox[] total:integer page:integer pageSize:integer nextCursor?:string" },
        { "SandboxMetrics",  "sandboxId:string cpuPercent:number memoryUsageMb:integer memoryLimitMb:integer "
                             "networkRxBytes:integer networkTxBytes:integer pids:integer memoryUsageBytes?:integer "
                             "memoryLimitBytes?:integer pidsLimit?:integer memoryPeakMb?:integer ioReadBytes?:integer "
                             "ioWriteBytes?:integer oomKills?:integer cpuUsec?:integer source?:string" },
        { "Sandboxes",       "sandboxes:Sandbox[]" },
        { "Snapshot",        "id:string sandboxId:string name:string imageId:string size:integer createdAt:integer "
                             "snapshotId:string config?:SandboxConfig entrypoint?:string[] metadata?:map" },
        { "Snapshots",       "snapshots:Snapshot[]" },
        { "Success",         "success:boolean" },
        { "Swept",           "swept:integer" },
        { "Template",        "id:string name:string description:string config:SandboxConfig builtin:boolean "
                             "createdAt:integer" },
        { "Templates",       "templates:Template[]" },
        { "Terminal",        "id:string sandboxId:string command:string running:boolean startedAt:integer status:string "
                             "rows:integer cols:integer offset:integer attached:boolean holder:string pid?:integer "
                             "exitCode?:integer finishedAt?:integer oom?:boolean error?:string" },
        { "TerminalChannel", "channel_id:string access_key:string direction:string" },
        { "TerminalChannels", "writer:TerminalChannel reader:TerminalChannel" },
        { "TerminalSession", "sessionId:string sandboxId:string execId:string cols:integer rows:integer shell:string "
                             "status:string backend:string createdAt:integer channel:TerminalChannels" },
        { "TerminalSize",    "cols:integer rows:integer" },
        { "Terminals",       "terminals:Terminal[]" },
        { "Trace",           "id:string functionId:string duration:number status:string timestamp:integer "
                             "httpStatus:integer sandboxId?:string error?:string" },
        { "Traces",          "traces:Trace[] total:integer" },
        { "Upload",          "id:string sandboxId:string path:string size:integer status:string createdAt:integer "
                             "expiresAt:integer offset?:integer" },
        { "Uploads",         "uploads:Upload[]" },
        { "Variable",        "key:string value:string|null exists:boolean" },
        { "Variables",       "vars:map count:integer" },
        { "VariablesSet",    "set:string[] count:integer warning?:string" },
        { "Volume",          "id:string name:string dockerVolumeName:string createdAt:integer mountPath?:string "
                             "sandboxId?:string size?:integer readOnly?:boolean used?:integer" },
        { "VolumeAttached",  "attached:boolean mountPath:string" },
        { "VolumeDetached",  "detached:boolean" },
        { "Volumes",         "volumes:Volume[]" },
        { "Webhook",         "id:string url:string topics:string[] sandboxId?:string enabled:boolean createdAt:integer "
                             "delivered:integer dead:integer attempts:integer lastError?:string "
                             "lastDeliveredAt?:integer nextAttemptAt?:integer" },
        { "WebhookMade",     "id:string url:string topics:string[] sandboxId?:string enabled:boolean createdAt:integer "
                             "delivered:integer dead:integer attempts:integer lastError?:string "
                             "lastDeliveredAt?:integer nextAttemptAt?:integer "
                             "secret:string" },
        { "WebhookTest",     "delivered:boolean httpStatus?:integer error?:string" },
        { "Webhooks",        "webhooks:Webhook[]" },
        { "Worker",          "workerId:string hostname:string activeSandboxes:integer maxSandboxes:integer "
                             "cpuPercent:number lastHeartbeat:integer" },
        { "WorkerChoice",    "workerId:string" },
        { "Workers",         "workers:Worker[] alive:integer dead:integer" },
        { "Written",         "success:boolean written:integer" },
};
const size_t n_openapi_schemas = ELEMENTSOF(openapi_schemas);
