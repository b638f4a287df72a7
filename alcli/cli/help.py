"""Explain how to run alcli every night: alcli help cron."""

from __future__ import annotations

import click

CRON = """\
crontab -e, every night at two (the workspace folder contains everything except the token):

  0 2 * * *  SA_TOKEN="$(cat /etc/alcli/token)" alcli cycle -w /srv/alcli/cells -q --wait 30m

or systemd, which also keeps the log and never starts a second run at the same time:

  # /etc/systemd/system/alcli-cells.service
  [Unit]
  Description=Active learning cycle of the cells project
  Wants=network-online.target
  After=network-online.target
  [Service]
  Type=oneshot
  User=alcli
  EnvironmentFile=/etc/alcli/environment
  ExecStart=/usr/local/bin/alcli cycle -w /srv/alcli/cells -q --metrics-file /var/lib/node_exporter/alcli.prom
  SuccessExitStatus=3
  TimeoutStopSec=30

  # /etc/systemd/system/alcli-cells.timer
  [Timer]
  OnCalendar=*-*-* 02:00:00
  Persistent=true
  [Install]
  WantedBy=timers.target

  systemctl enable --now alcli-cells.timer

Monitoring:   alcli health -w /srv/alcli/cells --max-age 26h     (exit 0: a run has succeeded within 26 hours)
Exit codes:   alcli list exit-codes     (3: done, but some images were left out; each is named with its reason)
If killed:    The next run resumes the interrupted cycle; there is nothing to unlock or clean up by hand.
"""

TOPICS = {"cron": CRON}


@click.command()
@click.argument("topic", type=click.Choice(list(TOPICS)), required=False)
@click.pass_context
def command(context: click.Context, topic: str | None) -> int:
    """Print how to run alcli unattended: cron, systemd, monitoring. Without a topic, list all commands.

    \b
    Examples:
      alcli help
      alcli help cron
    """
    if topic is None:
        click.echo(context.find_root().get_help())
        click.echo(f"\nTopics: {', '.join(f'alcli help {name}' for name in TOPICS)}")
        return 0
    click.echo(TOPICS[topic], nl=False)
    return 0
