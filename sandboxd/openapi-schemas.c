/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/openapi.h"

/* What the routes answer. Sorted by name; members as in the JSON, the ones that clients parse strictly first. */
const OpenapiSchema openapi_schemas[] = {
        { "BackgroundExec",  "id:string sandboxId:string command:string running:boolean startedAt:integer pid?:integer "
                             "exitCode?:integer finishedAt?:integer oom?:boolean error?:string" },
        { "CellResult",      "output:string stderr:string error:string|null result:string|null executionTime:number "
                             "timedOut?:boolean" },
        { "Closed",          "closed:string" },
        { "CodeResult",      "output:string error:string|null executionTime:number stderr:string exitCode:integer "
                             "timedOut?:boolean oom?:boolean" },
        { "Command",         "id:string sandboxId:string command:string running:boolean startedAt:integer kind:string "
                             "pid?:integer exitCode?:integer finishedAt?:integer oom?:boolean error?:string" },
        { "Commands",        "commands:Command[]" },
        { "Context",         "id:string sandboxId:string language:string cwd:string status:string createdAt:integer" },
        { "Contexts",        "contexts:Context[]" },
        { "Deleted",         "deleted:string warning?:string" },
        { "Env",             "vars:map count:integer" },
        { "EnvSet",          "set:string[] count:integer warning?:string" },
        { "EnvValue",        "key:string value:string|null exists:boolean" },
        { "ExecResult",      "exitCode:integer stdout:string stderr:string duration:number truncated?:boolean "
                             "timedOut?:boolean oom?:boolean error?:string" },
        { "ExecStreamChunk", "type:string data:string timestamp:integer encoding?:string dropped?:integer id?:string "
                             "pid?:integer signal?:integer timedOut?:boolean oom?:boolean" },
        { "FileInfo",        "name:string path:string size:integer isDirectory:boolean modifiedAt:integer" },
        { "FileMetadata",    "path:string size:integer permissions:string owner:string group:string isDirectory:boolean "
                             "isSymlink:boolean modifiedAt:integer target?:string" },
        { "FileWritten",     "success:boolean size:integer" },
        { "GitBranches",     "branches:string[] current:string error?:string" },
        { "GitCommit",       "hash:string message:string author:string date:string" },
        { "GitDiff",         "diff:string truncated?:boolean error?:string" },
        { "GitFile",         "status:string path:string" },
        { "GitLog",          "entries:GitCommit[] error?:string" },
        { "GitStatus",       "branch:string clean:boolean files:GitFile[] error?:string" },
        { "GlobalMetrics",   "activeSandboxes:integer totalCreated:integer totalKilled:integer totalExpired:integer "
                             "uptimeSeconds:integer createdWarm:integer createdBlank:integer createdCold:integer "
                             "totalLost:integer" },
        { "Health",          "status:string service?:string" },
        { "Image",           "name:string kind:string source:string usable:boolean" },
        { "Images",          "images:Image[]" },
        { "Installed",       "output:string" },
        { "KernelSpec",      "name:string language:string displayName:string" },
        { "Killed",          "killed:integer signal:string" },
        { "Output",          "output:string cursor:integer encoding?:string dropped?:integer" },
        { "Pool",            "total:integer ready:integer by_profile:object blank:object" },
        { "ProcessInfo",     "pid:integer user:string cpu:string memory:string command:string state:string" },
        { "ProcessTopInfo",  "pid:integer cpu:string mem:string vsz:integer rss:integer command:string" },
        { "Processes",       "processes:ProcessInfo[]" },
        { "ProcessesTop",    "processes:ProcessTopInfo[]" },
        { "Sandbox",         "id:string name:string image:string status:string createdAt:integer expiresAt:integer "
                             "config:SandboxConfig metadata:map entrypoint?:string[] workerId?:string "
                             "metrics?:SandboxMetrics" },
        { "SandboxConfig",   "image:string name?:string timeout?:integer memory?:integer cpu?:number network?:boolean "
                             "env?:map workdir?:string metadata?:map entrypoint?:string[] pids?:integer "
                             "ioReadBps?:integer ioWriteBps?:integer" },
        { "SandboxList",     "items:Sandbox[] total:integer page:integer pageSize:integer" },
        { "SandboxMetrics",  "sandboxId:string cpuPercent:number memoryUsageMb:integer memoryLimitMb:integer "
                             "networkRxBytes:integer networkTxBytes:integer pids:integer memoryUsageBytes?:integer "
                             "memoryLimitBytes?:integer pidsLimit?:integer memoryPeakMb?:integer ioReadBytes?:integer "
                             "ioWriteBytes?:integer oomKills?:integer cpuUsec?:integer source?:string" },
        { "Success",         "success:boolean" },
        { "Swept",           "swept:integer" },
        { "Terminal",        "id:string sandboxId:string command:string running:boolean startedAt:integer status:string "
                             "rows:integer cols:integer offset:integer attached:boolean holder:string pid?:integer "
                             "exitCode?:integer finishedAt?:integer oom?:boolean error?:string" },
        { "TerminalSize",    "cols:integer rows:integer" },
        { "Terminals",       "terminals:Terminal[]" },
        { "Written",         "success:boolean written:integer" },
};
const size_t n_openapi_schemas = ELEMENTSOF(openapi_schemas);
